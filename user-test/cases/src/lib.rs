//! WSK client test cases, run in every world.
