//! The binary: allocator, `.env`, command line.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before any thread exists, since it changes the environment. A missing file is usual; a broken one is said below.
    let env_file = dotenvy::dotenv();
    countersign::cli::run(env_file.err().filter(|error| !error.not_found()).map(|error| error.to_string()))
}
