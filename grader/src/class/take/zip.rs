//! A fork as a zip file.
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::Path;

use ::zip::ZipArchive;

use super::{Kind, TakeError, Tree};
use crate::submission::files::MOST_BYTES;

/// Larger archives hold more than source code.
const LARGEST: u64 = 64 << 20;

/// What the kind of a file is in its Unix mode, and the kind of a plain one.
const KIND: u32 = 0o170_000;
const PLAIN: u32 = 0o100_000;

/// An archive. It is never unpacked: single files are read, up to the size that source code may have.
#[derive(Debug)]
pub(super) struct Zip {
    archive: ZipArchive<BufReader<File>>,
    /// The place of each file that was listed.
    places: BTreeMap<String, usize>,
}

impl Zip {
    pub(super) fn open(path: &Path) -> Result<Zip, TakeError> {
        let io = |source| TakeError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io)?;
        if file.metadata().map_err(io)?.len() > LARGEST {
            return Err(TakeError::Zip(
                "it is larger than 64 MiB: leave the build folder out".to_owned(),
            ));
        }
        let archive = ZipArchive::new(BufReader::new(file));
        let archive = archive.map_err(|why| TakeError::Zip(why.to_string()))?;
        Ok(Zip { archive, places: BTreeMap::new() })
    }
}

impl Tree for Zip {
    fn list(&mut self, each: &mut dyn FnMut(String, Kind) -> bool) -> Result<(), TakeError> {
        for at in 0..self.archive.len() {
            let Ok(entry) = self.archive.by_index_raw(at) else { continue };
            if entry.is_dir() {
                continue;
            }
            let name = entry.name().replace('\\', "/");
            let plain =
                entry.unix_mode().is_none_or(|mode| mode & KIND == PLAIN || mode & KIND == 0);
            // A name that leads out of the archive is no name of a file in it.
            let inside = entry.enclosed_name().is_some() && !name.starts_with('/');
            let kind = if plain && inside { Kind::File(entry.size()) } else { Kind::Other };
            self.places.insert(name.clone(), at);
            if !each(name, kind) {
                break;
            }
        }
        Ok(())
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, TakeError> {
        let bad = |why: String| TakeError::Zip(format!("{path}: {why}"));
        let at = self.places.get(path).copied().ok_or_else(|| bad("it has gone".to_owned()))?;
        let entry = self.archive.by_index(at).map_err(|why| bad(why.to_string()))?;
        // The size that the archive states may be wrong.
        let mut bytes = Vec::new();
        let most = MOST_BYTES + 1;
        entry.take(most).read_to_end(&mut bytes).map_err(|why| bad(why.to_string()))?;
        if bytes.len() as u64 == most {
            return Err(bad("it is larger than it says".to_owned()));
        }
        Ok(bytes)
    }
}
