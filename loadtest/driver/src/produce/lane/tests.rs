use super::*;

const LIMITS: Limits = Limits { batch_bytes: 100, in_flight: 3, linger_ns: 10 };

fn lane(batches: u64) -> Lane {
    let mut lane = Lane::default();
    for batch in 0..batches {
        for record in 0..2 {
            lane.append(None, 40, 100 * batch + record, |_| {});
        }
        lane.seal(7, 0, false, &LIMITS);
    }
    lane
}

fn send_all(lane: &mut Lane) -> Vec<u64> {
    let mut numbers = Vec::new();
    while lane.to_send(1_000).is_some() {
        numbers.push(lane.send(7, 0, 1_000).unwrap().0);
    }
    numbers
}

fn base_sequence(bytes: &Bytes) -> i32 {
    i32::from_be_bytes(bytes[53..57].try_into().unwrap())
}

#[test]
fn a_batch_has_room_for_its_bytes_and_a_lane_for_its_batches() {
    let mut lane = Lane::default();
    assert!(lane.has_room(1_000, &LIMITS), "an empty batch takes any record");
    lane.append(None, 60, 5, |_| {});
    assert!(lane.has_room(40, &LIMITS) && !lane.has_room(41, &LIMITS));
    assert_eq!(lane.ripe_ns(&LIMITS), Some(15));
    lane.seal(7, 0, false, &LIMITS);
    assert_eq!(lane.ripe_ns(&LIMITS), None, "nothing is gathered");
    let mut full = self::lane(3);
    assert!(!full.has_place(&LIMITS));
    full.append(None, 1, 1_000, |_| {});
    assert_eq!(full.ripe_ns(&LIMITS), None, "there is no place");
}

#[test]
fn batches_go_out_in_order_and_are_answered() {
    let mut lane = lane(3);
    assert_eq!(send_all(&mut lane), [0, 2, 4]);
    let sent = lane.acked(0, 1_500, &LIMITS).unwrap();
    assert_eq!((sent.first, sent.count(), sent.attempts), (0, 2, 1));
    assert!(lane.acked(0, 1_500, &LIMITS).is_none(), "an answer that comes twice");
    assert_eq!(lane.unanswered.len(), 2);
}

#[test]
fn a_refused_batch_waits_until_those_behind_it_are_back() {
    let mut lane = lane(3);
    send_all(&mut lane);
    assert!(lane.again(0, 0));
    assert!(lane.to_send(1_000).is_none(), "two are under way behind it");
    lane.again(2, 0);
    lane.again(4, 0);
    assert_eq!(send_all(&mut lane), [0, 2, 4]);
}

#[test]
fn a_pause_is_kept_and_holds_up_what_is_behind() {
    let mut lane = lane(2);
    send_all(&mut lane);
    lane.again(0, 2_000);
    lane.again(2, 0);
    assert!(lane.to_send(1_999).is_none());
    assert_eq!(lane.next_try_ns(), Some(2_000));
    assert_eq!(lane.to_send(2_000).unwrap().number, 0);
}

#[test]
fn after_a_definite_failure_those_behind_take_the_sequences() {
    let mut lane = lane(3);
    send_all(&mut lane);
    lane.acked(0, 1_000, &LIMITS).unwrap();
    lane.settle(2, 1_000, &LIMITS).unwrap();
    // The service waits for the failed batch's sequences and refuses the one behind it.
    lane.again(4, 0);
    let (number, bytes, attempts) = lane.send(7, 0, 1_000).unwrap();
    assert_eq!((number, base_sequence(&bytes), attempts), (4, 2, 2));
    lane.append(None, 1, 0, |_| {});
    lane.seal(7, 0, false, &LIMITS);
    assert_eq!(base_sequence(&lane.send(7, 0, 1_000).unwrap().1), 4);
}

#[test]
fn a_service_that_goes_on_behind_a_failure_is_followed() {
    let mut lane = lane(2);
    send_all(&mut lane);
    lane.settle(0, 1_000, &LIMITS).unwrap();
    // It took the one behind: so it has the sequences of the one that it says it has not.
    lane.acked(2, 1_000, &LIMITS).unwrap();
    lane.append(None, 1, 0, |_| {});
    lane.seal(7, 0, false, &LIMITS);
    assert_eq!(base_sequence(&lane.send(7, 0, 1_000).unwrap().1), 4);
}

#[test]
fn a_batch_of_unknown_outcome_keeps_its_sequence() {
    let mut lane = lane(2);
    let first = lane.send(7, 0, 1_000).unwrap().1;
    lane.again(0, 0);
    assert_eq!(lane.send(7, 0, 1_000).unwrap().1, first);
    lane.rewind();
    assert_eq!(lane.send(7, 0, 1_000).unwrap().1, first);
}

#[test]
fn a_new_identity_numbers_from_0_what_was_never_sent() {
    let mut lane = lane(3);
    lane.send(7, 0, 1_000).unwrap();
    let unknown = lane.renumber();
    assert_eq!(unknown.iter().map(|sent| sent.first).collect::<Vec<_>>(), [0]);
    let (_, bytes, _) = lane.send(9, 1, 1_000).unwrap();
    assert_eq!(base_sequence(&bytes), 0);
    assert_eq!(i64::from_be_bytes(bytes[43..51].try_into().unwrap()), 9);
}

#[test]
fn a_lost_connection_sends_everything_again() {
    let mut lane = lane(2);
    send_all(&mut lane);
    lane.rewind();
    assert_eq!(send_all(&mut lane), [0, 2]);
    assert_eq!(lane.settle(0, 0, &LIMITS).unwrap().attempts, 2);
}

#[test]
fn sequences_begin_anew() {
    assert_eq!(later(i32::MAX, 1), 0);
    assert_eq!(later(i32::MAX - 1, 3), 1);
}
