use tokio::io::{DuplexStream, duplex};

use super::*;

/// A client and a service with the proxy between them.
fn between(hardship: Hardship, weather: &watch::Sender<Weather>) -> (DuplexStream, DuplexStream) {
    let (client, inner) = duplex(1 << 20);
    let (service, outer) = duplex(1 << 20);
    let weather = weather.subscribe();
    tokio::spawn(async move { carry_both(inner, outer, hardship, weather, &AtomicU64::new(0)).await });
    (client, service)
}

async fn take(from: &mut DuplexStream, bytes: usize) -> Vec<u8> {
    let mut taken = vec![0; bytes];
    from.read_exact(&mut taken).await.unwrap();
    taken
}

#[tokio::test(start_paused = true)]
async fn answers_come_late_and_requests_do_not() {
    let weather = watch::Sender::new(Weather::default());
    let (mut client, mut service) = between(Hardship::Delay, &weather);
    let begin = Instant::now();
    client.write_all(b"ask").await.unwrap();
    assert_eq!(take(&mut service, 3).await, b"ask");
    assert_eq!(begin.elapsed(), Duration::ZERO);
    service.write_all(b"one").await.unwrap();
    sleep(Duration::from_millis(20)).await;
    service.write_all(b"two").await.unwrap();
    drop(service);
    let late = |begin: Instant| begin.elapsed().as_millis();
    assert_eq!((take(&mut client, 3).await, late(begin) / 10), (b"one".to_vec(), 5));
    // One after the other does not add up.
    assert_eq!((take(&mut client, 3).await, late(begin) / 10), (b"two".to_vec(), 7));
    let mut rest = Vec::new();
    assert_eq!(client.read_to_end(&mut rest).await.unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delay_is_no_limit_to_the_rate() {
    let weather = watch::Sender::new(Weather::default());
    let (mut client, mut service) = between(Hardship::Delay, &weather);
    let begin = Instant::now();
    tokio::spawn(async move { service.write_all(&vec![7; 8 << 20]).await });
    assert_eq!(take(&mut client, 8 << 20).await.iter().filter(|byte| **byte == 7).count(), 8 << 20);
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_passes_in_a_stall_and_all_of_it_afterwards() {
    let weather = watch::Sender::new(Weather::default());
    let done = Arc::new(AtomicU64::new(0));
    tokio::spawn(change(Hardship::Stall, weather.clone(), done.clone()));
    let (mut client, mut service) = between(Hardship::Stall, &weather);
    let begin = Instant::now();
    for at in [0, 3_500, 4_000, 5_500, 14_000] {
        sleep_until(begin + Duration::from_millis(at)).await;
        client.write_all(b"ask").await.unwrap();
        take(&mut service, 3).await;
        service.write_all(b"ok").await.unwrap();
        take(&mut client, 2).await;
        let through_ms = begin.elapsed().as_millis();
        // Stalls last from 3 s to 5 s and from 13 s to 15 s.
        let expected_ms = match at {
            3_500 => 5_000,
            14_000 => 15_000,
            // The one before came through at 5 s.
            4_000 => 5_000,
            at => u128::from(at),
        };
        assert!((expected_ms..expected_ms + 10).contains(&through_ms), "{at}: {through_ms}");
    }
    assert_eq!(done.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn every_second_is_one_to_cut_connections() {
    let weather = watch::Sender::new(Weather::default());
    tokio::spawn(change(Hardship::Reset, weather.clone(), Arc::default()));
    sleep(Duration::from_millis(3_500)).await;
    assert_eq!(weather.borrow().cuts, 3);
}
