//! wskrdma-client.sys: a kernel WSK client told by IOCTL.
