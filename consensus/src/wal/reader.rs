//! **Purpose**: reading entries, from memory where they are cached, else from their segment.

use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use hesper_protos::raft as pb;
use prost::Message;

use super::record::{self, Found, Kind};
use super::recovery::segment_name;
use super::{Location, Wal, entry_bytes};
use crate::codec::entry_from_pb;
use crate::device::DeviceFile;
use crate::types::Entry;

enum Place {
    Memory(Entry),
    Disc(Arc<dyn DeviceFile>, Location),
}

impl Wal {
    /// All entries of `range` that the log holds, but no more than about `bytes_max` (at least one).
    ///
    /// # Errors
    /// The disc failed or an entry on it is damaged.
    pub fn entries(&self, range: impl RangeBounds<u64>, bytes_max: u64) -> io::Result<Vec<Entry>> {
        let places = self.places(range, bytes_max)?;
        places.into_iter().map(|place| self.fetch(place)).collect()
    }

    fn places(&self, range: impl RangeBounds<u64>, bytes_max: u64) -> io::Result<Vec<Place>> {
        let state = self.shared.state.lock();
        let start = match range.start_bound() {
            Bound::Included(index) => *index,
            Bound::Excluded(index) => index.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(index) => index.saturating_add(1),
            Bound::Excluded(index) => *index,
            Bound::Unbounded => u64::MAX,
        };
        let start = start.max(state.first);
        let end = end.min(state.next_index());
        let mut places = Vec::with_capacity(end.saturating_sub(start).min(4096) as usize);
        let mut bytes = 0;
        for index in start..end {
            let Some(slot) = state.slots.get((index - state.first) as usize) else {
                break;
            };
            let place = match (&slot.entry, slot.location) {
                (Some(entry), _) => {
                    bytes += entry_bytes(entry) as u64;
                    Place::Memory(entry.clone())
                }
                (None, Some(location)) => {
                    bytes += u64::from(location.length);
                    let segment = state.segments.iter().find(|s| s.sequence == location.sequence);
                    let segment = segment.ok_or_else(|| {
                        io::Error::other(format!(
                            "entry {index} lies in a log segment that is gone"
                        ))
                    })?;
                    Place::Disc(segment.file.clone(), location)
                }
                (None, None) => {
                    return Err(io::Error::other(format!(
                        "entry {index} is neither cached nor written"
                    )));
                }
            };
            if bytes > bytes_max && !places.is_empty() {
                break;
            }
            places.push(place);
        }
        Ok(places)
    }

    fn fetch(&self, place: Place) -> io::Result<Entry> {
        let (file, location) = match place {
            Place::Memory(entry) => return Ok(entry),
            Place::Disc(file, location) => (file, location),
        };
        let mut bytes = vec![0; location.length as usize];
        file.read_at(u64::from(location.offset), &mut bytes)?;
        let damaged = |reason: &str| {
            let name = self.shared.device.describe(&segment_name(location.sequence));
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("log file `{name}` is damaged at offset {}: {reason}", location.offset),
            )
        };
        match record::find_in(&bytes, location.sequence, 0, u64::from(location.offset)) {
            Found::Record(found) if found.kind == Kind::Entry => {
                let entry =
                    pb::Entry::decode(found.payload).map_err(|e| damaged(&e.to_string()))?;
                entry_from_pb(entry).map_err(|e| damaged(&e.to_string()))
            }
            Found::Record(_) => Err(damaged("another record lies there")),
            Found::Nothing => Err(damaged("nothing lies there")),
            Found::Invalid(reason) => Err(damaged(reason)),
        }
    }
}
