//! A simulated kernel for native runs.
