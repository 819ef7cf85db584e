//! Prints the operation counts of streams of messages of several sizes.

use std::process::ExitCode;
use stream::Extensions;
use wskrdma_bench::{Cost, request_and_answer, stream_of};

type Pattern = fn(u64, u64, Extensions) -> Result<Cost, String>;

fn main() -> ExitCode {
    let patterns: [(&str, Pattern); 2] =
        [("one way", stream_of), ("requests and answers", request_and_answer)];
    for (peer, extensions) in [("an equal", Extensions::all()), ("a Linux peer", Extensions::empty())] {
        for (pattern, run) in patterns {
            println!("{pattern}, {peer}; each per message, both ends:");
            println!("octets per message   work requests   completions   credit messages");
            for octets in [1_u64, 64, 1024, 4096, 65_536, 1 << 20] {
                match run(1000, octets, extensions) {
                    Ok(c) => {
                        let per = |n: u64| n as f64 / c.messages as f64;
                        let (work, completions) = (per(c.work_requests), per(c.completions));
                        println!("{octets:>18} {work:>15.2} {completions:>13.2} {:>17.3}", per(c.credits));
                    }
                    Err(message) => {
                        eprintln!("wskrdma-bench: {message}");
                        return ExitCode::FAILURE;
                    }
                }
            }
        }
    }
    ExitCode::SUCCESS
}
