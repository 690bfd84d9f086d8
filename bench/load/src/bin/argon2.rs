//! The ceiling of sign-ins: Argon2id with the server's own parameters and nothing around it, on one thread. Prints how many
//! a second.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use clap::Parser;

/// Hashes one password again and again.
#[derive(Debug, Parser)]
struct Options {
    /// For so long.
    #[arg(long)]
    seconds: f64,
    /// KiB.
    #[arg(long, default_value_t = 19_456)]
    memory: u32,
    /// Passes over that memory.
    #[arg(long, default_value_t = 2)]
    passes: u32,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let wrong = |error| anyhow!("Argon2 refuses: {error}");
    let params = Params::new(options.memory, options.passes, 1, Some(32)).map_err(wrong)?;
    // Memory that is kept, as the server's threads keep it.
    let mut blocks = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let (mut hash, mut count, began) = ([0; 32], 0_u32, Instant::now());
    while began.elapsed() < Duration::from_secs_f64(options.seconds) {
        argon2.hash_password_into_with_memory(b"a password of some length", b"sixteen bytes !!", &mut hash, &mut blocks).map_err(wrong)?;
        count += 1;
    }
    println!("{:.2}", f64::from(count) / began.elapsed().as_secs_f64());
    Ok(())
}
