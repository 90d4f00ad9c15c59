"""Zero touch: tokens for a batch, the judgement on a request, the service that hands out certificates."""
