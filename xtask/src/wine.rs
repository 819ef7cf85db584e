//! Running the images under Wine.

pub(crate) mod command;
