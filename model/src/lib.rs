//! The delivery protocol, model-checked over the transition functions that the code runs.
