//! The agent as the process that the gateway starts: real streams, real files, real sockets.

#[cfg(test)]
mod kitchen;
#[cfg(test)]
mod process;

#[cfg(test)]
mod builtin;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod mcp;

#[cfg(test)]
mod acp;
#[cfg(test)]
mod claude;
