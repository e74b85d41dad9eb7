//! The baseline: what Redis does with the same bytes and nothing else, a push and a pop, many in one write.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use tokio::{task, time::Instant};

/// Pairs of a push and a pop in one write.
const PIPELINED: usize = 100;

/// Pushes and pops for `length`. Returns the pairs a second.
///
/// # Errors
/// When the connection breaks.
pub(super) async fn pairs_per_second(
    addr: SocketAddr,
    payload_bytes: usize,
    length: Duration,
) -> anyhow::Result<f64> {
    task::spawn_blocking(move || pairs(addr, payload_bytes, length)).await?
}

fn pairs(addr: SocketAddr, payload_bytes: usize, length: Duration) -> anyhow::Result<f64> {
    let payload = "x".repeat(payload_bytes);
    let pair = format!(
        "*3\r\n$5\r\nLPUSH\r\n$4\r\nbare\r\n${payload_bytes}\r\n{payload}\r\n*2\r\n$4\r\nRPOP\r\n$4\r\nbare\r\n"
    );
    // The list is empty before each pair, so each pair has the same answer.
    let answer = format!(":1\r\n${payload_bytes}\r\n{payload}\r\n");
    let request = pair.repeat(PIPELINED);
    let mut answers = vec![0; answer.len() * PIPELINED];
    let mut connection = TcpStream::connect(addr)?;
    connection.set_nodelay(true)?;
    let started = Instant::now();
    let mut pairs = 0;
    while started.elapsed() < length {
        connection.write_all(request.as_bytes())?;
        connection.read_exact(&mut answers)?;
        anyhow::ensure!(
            answers.starts_with(answer.as_bytes()),
            "Redis gave another answer than to a push and a pop"
        );
        pairs += PIPELINED;
    }
    Ok(pairs as f64 / started.elapsed().as_secs_f64())
}
