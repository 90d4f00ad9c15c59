"""What the broker must know of the fleet: who may read and write what, in the words of each broker."""
