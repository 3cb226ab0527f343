//! The agent as the process that the gateway starts: real streams, real files, real sockets.

mod process;

mod demo;
