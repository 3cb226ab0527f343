//! Hooks: code that sees messages and runs, built in or loaded.
