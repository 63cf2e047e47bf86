//! The .torrent of hashed content, canonical. BEP 3 "metainfo files", BEP 12, 19, 27.
//!
//! The same plan, hashes and draft give the same bytes. Reads nothing: the date is an argument.

use shoal_bencode::Value;

use super::{Hashes, Plan, PlanFile};

/// What a .torrent says besides its content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Announce URLs in tiers; the first of all is `announce`. Source: BEP 12.
    pub tiers: Vec<Vec<String>>,
    /// Peers may come from the trackers only; part of `info`. Source: BEP 27.
    pub private: bool,
    /// Free text for people.
    pub comment: Option<String>,
    /// Sets torrents of the same content on different trackers apart; part of `info`.
    pub source: Option<String>,
    /// URLs that have the content. Source: BEP 19.
    pub web_seeds: Vec<String>,
    /// The program and its version.
    pub created_by: Option<String>,
    /// Seconds since 1970.
    pub creation_date: Option<i64>,
}

impl Draft {
    /// With these trackers, each a tier of its own: the first that answers is used.
    pub fn with_trackers(urls: impl IntoIterator<Item = String>) -> Self {
        Self {
            tiers: urls.into_iter().map(|url| vec![url]).collect(),
            ..Self::default()
        }
    }

    /// The bytes of the .torrent.
    ///
    /// # Panics
    /// When the hashes are not of this plan.
    #[must_use]
    pub fn encode(&self, plan: &Plan, hashes: &Hashes) -> Vec<u8> {
        self.around(self.info(plan, hashes))
    }

    /// The bytes of a .torrent around an `info` that is there already and stays as it is, byte for
    /// byte; what of the draft would be part of it is left out.
    #[must_use]
    pub fn encode_around(&self, info: &[u8]) -> Vec<u8> {
        self.around(Value::Raw(info.into()))
    }

    fn around(&self, info: Value<'_>) -> Vec<u8> {
        let mut entries = vec![("info", info)];
        let tiers: Vec<&Vec<String>> = self.tiers.iter().filter(|t| !t.is_empty()).collect();
        if let Some(first) = tiers.first() {
            entries.push(("announce", Value::from(first[0].as_str())));
        }
        if tiers.iter().map(|tier| tier.len()).sum::<usize>() > 1 {
            let tiers = tiers.iter().map(|tier| strings(tier));
            entries.push(("announce-list", Value::list(tiers)));
        }
        match self.web_seeds.as_slice() {
            [] => {}
            [one] => entries.push(("url-list", Value::from(one.as_str()))),
            all => entries.push(("url-list", strings(all))),
        }
        for (key, text) in [("comment", &self.comment), ("created by", &self.created_by)] {
            entries.extend(text.as_ref().map(|text| (key, Value::from(text.as_str()))));
        }
        entries.extend(
            self.creation_date
                .map(|date| ("creation date", Value::from(date))),
        );
        Value::dict(entries).encode()
    }

    fn info<'v>(&'v self, plan: &'v Plan, hashes: &'v Hashes) -> Value<'v> {
        let geometry = hashes.geometry();
        assert_eq!(
            geometry.total(),
            plan.total(),
            "the hashes are of this plan"
        );
        let mut entries = vec![
            ("name", Value::from(plan.name())),
            ("piece length", Value::from(geometry.full_piece_length())),
            ("pieces", Value::from(hashes.pieces().as_flattened())),
        ];
        if plan.is_multi_file() {
            entries.push(("files", Value::list(plan.files().iter().map(file))));
        } else {
            entries.push(("length", length(plan.total())));
        }
        if self.private {
            entries.push(("private", Value::from(1)));
        }
        entries.extend(
            self.source
                .as_ref()
                .map(|source| ("source", Value::from(source.as_str()))),
        );
        Value::dict(entries)
    }
}

fn file(file: &PlanFile) -> Value<'_> {
    let components = file.path.components().skip(1);
    Value::dict([
        ("length", length(file.length)),
        ("path", Value::list(components)),
    ])
}

fn length(bytes: u64) -> Value<'static> {
    Value::from(i64::try_from(bytes).expect("a plan's total fits i64"))
}

fn strings(texts: &[String]) -> Value<'_> {
    Value::list(texts.iter().map(String::as_str))
}
