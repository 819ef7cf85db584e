//! Each rule has a test of its name that breaks it and is caught.

mod connections;
mod harness;
mod memory;
mod objects;
mod rules;
mod scripts;
mod stopping;
mod work;
