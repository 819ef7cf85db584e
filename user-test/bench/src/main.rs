//! Prints the operation counts of streams of messages of several sizes.

use std::process::ExitCode;

fn main() -> ExitCode {
    println!(
        "octets per message   work requests   completions   credit messages   (each per message, both ends)"
    );
    for octets in [1_u64, 64, 1024, 4096, 65_536, 1 << 20] {
        match wskrdma_bench::stream_of(1000, octets) {
            Ok(c) => {
                let per = |n: u64| n as f64 / c.messages as f64;
                let (work, completions, credits) = (per(c.work_requests), per(c.completions), per(c.credits));
                println!("{octets:>18} {work:>15.2} {completions:>13.2} {credits:>17.2}");
            }
            Err(message) => {
                eprintln!("wskrdma-bench: {message}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
