"""Pure functions on tensors: no configuration, no state, no modules."""
