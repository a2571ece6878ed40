//! The tests of WAL objects and of reading them.

#![cfg(test)]

mod common;
mod object;
mod planted;
mod reader;
mod store;
