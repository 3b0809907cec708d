"""Where a model is served: the contract of a back end, and the back ends behind it."""
