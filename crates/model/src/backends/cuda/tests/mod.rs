mod kernels;
mod pass;
