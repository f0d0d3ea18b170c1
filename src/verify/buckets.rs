//! Records by the hash of what they are about, so that each part of them fits into memory alone. They stay in memory as far
//! as there is room, and go to a temporary file beyond.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use serde::Serialize;

/// What is handed to a bucket's file, or kept, at once; less if there is little room.
const BLOCK: usize = 256 << 10;
const SMALLEST_BLOCK: usize = 4 << 10;

/// Each bucket gives back its records in the order in which they came.
pub struct Buckets {
    buckets: Vec<Bucket>,
    block: usize,
    /// Bytes that may still stay in memory.
    room: usize,
    file: Option<File>,
    end: u64,
    scratch: Vec<u8>,
}

#[derive(Default)]
struct Bucket {
    open: Vec<u8>,
    blocks: Vec<Block>,
}

enum Block {
    Kept(Vec<u8>),
    Filed { at: u64, length: usize },
}

impl Buckets {
    /// So many buckets, at most 2^16, that keep about `room` bytes in memory.
    pub fn new(count: usize, room: usize) -> Self {
        let block = (room / 2 / count.max(1)).clamp(SMALLEST_BLOCK, BLOCK);
        let buckets = (0..count).map(|_| Bucket::default()).collect();
        Self { buckets, block, room: room / 2, file: None, end: 0, scratch: vec![] }
    }

    pub fn count(&self) -> usize {
        self.buckets.len()
    }

    /// Puts a record into each of these buckets.
    pub fn push(&mut self, into: impl IntoIterator<Item = usize>, record: &impl Serialize) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.scratch);
        bytes.clear();
        bytes = postcard::to_extend(record, bytes).map_err(io::Error::other)?;
        for bucket in into {
            self.buckets[bucket].open.extend_from_slice(&bytes);
            if self.buckets[bucket].open.len() >= self.block {
                self.seal(bucket)?;
            }
        }
        self.scratch = bytes;
        Ok(())
    }

    fn seal(&mut self, bucket: usize) -> io::Result<()> {
        let Self { buckets, room, file, end, .. } = self;
        let Bucket { open, blocks } = &mut buckets[bucket];
        if open.len() <= *room {
            *room -= open.len();
            blocks.push(Block::Kept(std::mem::take(open)));
            return Ok(());
        }
        let file = match file {
            Some(file) => file,
            None => file.insert(tempfile::tempfile()?),
        };
        file.write_all(open)?;
        blocks.push(Block::Filed { at: *end, length: open.len() });
        *end += open.len() as u64;
        open.clear();
        Ok(())
    }

    /// Calls `each` with the records of a bucket, one block of them after the other, and empties it.
    pub fn drain(&mut self, bucket: usize, mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let Bucket { open, blocks } = std::mem::take(&mut self.buckets[bucket]);
        let mut read = vec![];
        for block in blocks {
            match (block, &self.file) {
                (Block::Kept(bytes), _) => each(&bytes)?,
                (Block::Filed { at, length }, Some(file)) => {
                    read.resize(length, 0);
                    file.read_exact_at(&mut read, at)?;
                    each(&read)?;
                }
                (Block::Filed { .. }, None) => return Err(io::Error::other("the temporary file is gone")),
            }
        }
        each(&open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each bucket gives back of 40,000 numbers, and whether a file was needed.
    fn through(room: usize) -> (Vec<Vec<u32>>, bool) {
        let mut buckets = Buckets::new(7, room);
        for number in 0..40_000_u32 {
            buckets.push([number as usize % 7, (number as usize + 1) % 7], &(number, "some text")).unwrap();
        }
        let is_filed = buckets.file.is_some();
        let mut all = vec![];
        for bucket in 0..7 {
            let mut numbers = vec![];
            let read = |mut bytes: &[u8]| {
                while !bytes.is_empty() {
                    let ((number, _), rest) = postcard::take_from_bytes::<(u32, &str)>(bytes).unwrap();
                    numbers.push(number);
                    bytes = rest;
                }
                Ok(())
            };
            buckets.drain(bucket, read).unwrap();
            all.push(numbers);
        }
        (all, is_filed)
    }

    #[test]
    fn little_room_changes_nothing() {
        let (kept, is_filed) = through(64 << 20);
        assert!(!is_filed);
        let expected = |bucket| (0..40_000).filter(move |number| number % 7 == bucket || (number + 1) % 7 == bucket);
        for (bucket, numbers) in (0..).zip(&kept) {
            assert!(numbers.iter().copied().eq(expected(bucket)), "{bucket}");
        }
        assert_eq!(through(100 << 10), (kept, true));
    }
}
