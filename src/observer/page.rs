//! What of a page can be trusted: the numbers must go on where we stand, without a hole, in ascending versions.

use crate::chain::{RawEvent, SeqNo, Version};

/// How many of the first events continue the stream at `next`, after an event of `version`.
pub fn continuing(events: &[RawEvent], next: SeqNo, version: Option<Version>) -> usize {
    let mut next = next;
    let mut version = version;
    let continues = |event: &&RawEvent| {
        let fits = event.seq_no == next && version.is_none_or(|version| version <= event.version);
        next = event.seq_no.next();
        version = Some(event.version);
        fits
    };
    events.iter().take_while(continues).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq_no: u64, version: u64) -> RawEvent {
        RawEvent {
            version: Version::new(version).unwrap(),
            event_index: None,
            seq_no: SeqNo::new(seq_no).unwrap(),
            event_type: String::new(),
            account_address: "0x1".parse().unwrap(),
            creation_number: 0,
            data: "{}".to_owned(),
            block_time: None,
        }
    }

    #[test]
    fn nothing_behind_a_hole_a_repeat_or_a_step_back_continues() {
        let cases: [(&[(u64, u64)], usize); 7] = [
            (&[], 0),
            (&[(5, 50), (6, 50), (7, 60)], 3),
            (&[(6, 50)], 0),
            (&[(4, 50), (5, 51)], 0),
            (&[(5, 50), (7, 60)], 1),
            (&[(5, 50), (5, 50)], 1),
            (&[(5, 50), (6, 49)], 1),
        ];
        for (page, expected) in cases {
            let events: Vec<_> = page.iter().map(|(seq_no, version)| event(*seq_no, *version)).collect();
            assert_eq!(continuing(&events, SeqNo::new(5).unwrap(), Version::new(49)), expected, "{page:?}");
        }
        assert_eq!(continuing(&[event(5, 48)], SeqNo::new(5).unwrap(), Version::new(49)), 0);
    }
}
