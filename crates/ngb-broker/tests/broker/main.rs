//! The broker against the model simulator and small servers, over real sockets.

#[cfg(test)]
mod hosts;
#[cfg(test)]
mod way_out;
