//! The command line of event-worker; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    event_worker::cli::main(std::env::args_os())
}
