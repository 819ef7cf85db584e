//! wskrdma.lib: the registration functions a WSK client links.
#![no_std]
