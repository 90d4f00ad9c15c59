"""Models: manifests, the store on disk, downloads."""
