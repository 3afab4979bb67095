//! What was asked for at `up`: all the lab remembers. Everything else is looked up
//! in what is really there.

use std::fs;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::image::Image;
use crate::paths;
use crate::plan::{self, Machine};

/// The lab as it was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Debian's code name.
    pub(crate) suite: String,
    /// How many bingo nodes.
    pub(crate) nodes: u8,
    /// What the machines are made of.
    pub(crate) image: Image,
}

impl Record {
    /// The record of the lab that is up.
    pub(crate) fn read() -> Result<Self> {
        match Self::find()? {
            Some(record) => Ok(record),
            None => bail!("the lab is not up; try: warden-lab up"),
        }
    }

    /// The record, if there is one.
    pub(crate) fn find() -> Result<Option<Self>> {
        let path = paths::record();
        match fs::read(&path) {
            Ok(bytes) => {
                let record = serde_json::from_slice(&bytes);
                Ok(Some(record.with_context(|| format!("{} is damaged; try: warden-lab down", path.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes it whole or not at all.
    pub(crate) fn write(&self) -> Result<()> {
        let path = paths::record();
        let new = path.with_extension("new");
        fs::write(&new, serde_json::to_vec_pretty(self)?).with_context(|| format!("cannot write {}", new.display()))?;
        fs::rename(&new, &path).with_context(|| format!("cannot rename {}", new.display()))
    }

    /// The machines of this lab.
    pub(crate) fn machines(&self) -> Vec<Machine> {
        plan::machines(self.nodes)
    }
}
