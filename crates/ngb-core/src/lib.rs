//! Words and rules of the gateway: no I/O, no SQL, no HTTP.
//!
//! In reading order: what things are called ([`id`], [`address`], [`message`], [`group`], [`role`]), what is decided
//! about them ([`route`], [`schedule`], [`job`], [`decision`], [`notice`]), what is said to an agent ([`frame`]), and the homes that
//! every crate shares ([`clock`], [`tasks`], [`secret`], [`failpoint`]).

pub mod id;

pub mod address;
pub mod alert;
pub mod ask;
pub mod command;
pub mod egress;
pub mod environment;
pub mod group;
pub mod message;
pub mod mount;
pub mod proxy;
pub mod public;
pub mod reply;
pub mod role;

pub mod decision;
pub mod driver;
pub mod job;
pub mod notice;
pub mod preset;
pub mod price;
pub mod queue;
pub mod reaction;
pub mod reset;
pub mod route;
pub mod schedule;
pub mod skill;
pub mod stop;
pub mod text;
pub mod toolbox;
pub mod words;

pub mod frame;

pub mod clock;
pub mod failpoint;
pub mod secret;
pub mod tasks;
