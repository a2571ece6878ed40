//! What befalls connections, whatever is spoken over them.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A hardship that breaks no promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hardship {
    /// What the service sends comes later.
    Delay,
    /// All connections are cut again and again.
    Reset,
    /// From time to time nothing passes.
    Stall,
}

/// How much later.
const DELAY: Duration = Duration::from_millis(50);
/// How often connections are cut.
const RESET_EVERY: Duration = Duration::from_secs(1);
/// A stall begins so long after the first connection.
const STALL_AFTER: Duration = Duration::from_secs(3);
/// It lasts so long.
const STALL_FOR: Duration = Duration::from_secs(2);
/// The next one begins so long after it began.
const STALL_EVERY: Duration = Duration::from_secs(10);

/// What is read at a time.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks under way within a delay: of one direction of one connection.
const DELAYED_CHUNKS_MAX: usize = 512;

/// Tells all connections what befalls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Weather {
    /// How often connections were cut.
    cuts: u64,
    is_stalled: bool,
}

/// Carries bytes between each client and the service at `upstream` (`host:port`), until it is stopped.
pub(crate) async fn serve(
    listener: TcpListener,
    upstream: String,
    hardship: Hardship,
    tasks: TaskTracker,
    stopped: CancellationToken,
    done: Arc<AtomicU64>,
) {
    let weather = watch::Sender::new(Weather::default());
    let mut clock = None;
    while let Some(accepted) = stopped.run_until_cancelled(listener.accept()).await {
        let Ok((client, _)) = accepted else {
            // Out of sockets, which passes.
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        if clock.is_none() {
            let run = change(hardship, weather.clone(), done.clone());
            let stopped = stopped.clone();
            clock = Some(tasks.spawn(async move { stopped.run_until_cancelled_owned(run).await }));
        }
        let connection = connection(client, upstream.clone(), hardship, weather.subscribe(), done.clone());
        let stopped = stopped.clone();
        tasks.spawn(async move { stopped.run_until_cancelled_owned(connection).await });
    }
}

/// Makes the weather.
async fn change(hardship: Hardship, weather: watch::Sender<Weather>, done: Arc<AtomicU64>) {
    match hardship {
        Hardship::Delay => {}
        Hardship::Reset => loop {
            sleep(RESET_EVERY).await;
            weather.send_modify(|weather| weather.cuts += 1);
        },
        Hardship::Stall => {
            sleep(STALL_AFTER).await;
            loop {
                // A stall that nobody meets is none.
                done.fetch_add(u64::from(weather.receiver_count() > 0), Ordering::Relaxed);
                weather.send_modify(|weather| weather.is_stalled = true);
                sleep(STALL_FOR).await;
                weather.send_modify(|weather| weather.is_stalled = false);
                sleep(STALL_EVERY - STALL_FOR).await;
            }
        }
    }
}

async fn connection(
    client: TcpStream,
    upstream: String,
    hardship: Hardship,
    mut weather: watch::Receiver<Weather>,
    done: Arc<AtomicU64>,
) {
    #[expect(clippy::disallowed_methods, reason = "the load test stands outside of the service and its network")]
    let connected = TcpStream::connect(upstream).await;
    // A client whose connection ends at once knows that there is nobody.
    let Ok(service) = connected else { return };
    for socket in [&client, &service] {
        // Should it fail, small messages only wait for others.
        let _ = socket.set_nodelay(true);
        if hardship == Hardship::Reset {
            // Cut, not closed. Should it fail, the other side sees an end, which is also an abrupt one.
            let _ = socket.set_zero_linger();
        }
    }
    let cuts = weather.borrow_and_update().cuts;
    let both = carry_both(client, service, hardship, weather.clone(), &done);
    tokio::select! {
        // Whatever ends a connection, both of its sides are closed.
        _ = both => {}
        _ = weather.wait_for(|weather| weather.cuts != cuts) => {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn carry_both(
    client: impl AsyncRead + AsyncWrite,
    service: impl AsyncRead + AsyncWrite,
    hardship: Hardship,
    weather: watch::Receiver<Weather>,
    done: &AtomicU64,
) -> io::Result<()> {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_service, to_service) = tokio::io::split(service);
    let requests = carry(from_client, to_service, weather.clone());
    match hardship {
        Hardship::Delay => tokio::try_join!(requests, carry_late(from_service, to_client, DELAY, done))?,
        Hardship::Reset | Hardship::Stall => tokio::try_join!(requests, carry(from_service, to_client, weather))?,
    };
    Ok(())
}

/// Carries bytes from one to the other as long as nothing stalls, and the end as well.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
) -> io::Result<()> {
    let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
    while from.read_buf(&mut chunk).await? > 0 {
        wait_out(&mut weather).await?;
        to.write_all(&chunk).await?;
        chunk.clear();
    }
    wait_out(&mut weather).await?;
    to.shutdown().await
}

async fn wait_out(weather: &mut watch::Receiver<Weather>) -> io::Result<()> {
    let calm = weather.wait_for(|weather| !weather.is_stalled).await;
    calm.map(drop).map_err(|_| io::ErrorKind::ConnectionAborted.into())
}

/// Carries bytes from one to the other, each so much later than it came, and the end as well.
async fn carry_late(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Duration,
    done: &AtomicU64,
) -> io::Result<()> {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Bytes)>(DELAYED_CHUNKS_MAX);
    let take = async move {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(CHUNK_BYTES);
            let is_end = from.read_buf(&mut buffer).await? == 0;
            let due = Instant::now() + delay;
            if sender.send((due, buffer.split().freeze())).await.is_err() || is_end {
                return Ok(());
            }
        }
    };
    let give = async {
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            if chunk.is_empty() {
                break;
            }
            to.write_all(&chunk).await?;
            done.fetch_add(1, Ordering::Relaxed);
        }
        to.shutdown().await
    };
    tokio::try_join!(take, give).map(drop)
}

#[cfg(test)]
mod tests;
