"""Losses know tensors, not networks: each is a function that can be checked by hand.

Every function returns a scalar mean (`changed_region` and `gaussian_log_likelihood` aside) and leaves the choice of who
learns to its caller: nothing is detached except masks, so detach (or freeze) what a term must not move. Give them
float32: under autocast, cast a network's output first, for differences of close numbers lose their digits in bfloat16.
"""
