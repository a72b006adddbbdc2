//! The binary: hands the command line to the library.

use std::process::ExitCode;

use sidegate::app;
use sidegate::cli::{self, Programs};

fn main() -> ExitCode {
    let programs = Programs {
        serve: app::serve,
        demo: app::demo,
        bench: app::bench,
        check: app::check,
        explain: app::explain,
        locally: app::locally,
        restore: app::restore,
        reset: app::reset,
    };
    cli::run(std::env::args_os(), &programs)
}
