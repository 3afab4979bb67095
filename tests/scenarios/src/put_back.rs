//! What a scenario has changed is put back, whatever came of the scenario.

use anyhow::{Context, Result};
use warden_lab::Node;

type Act = Box<dyn FnOnce() -> Result<()> + Send>;

/// Undoes something when it is dropped. What it does must do nothing where there is nothing to put back.
pub struct PutBack {
    what: String,
    act: Option<Act>,
}

impl PutBack {
    /// By a command of the shell on a machine. To be made before the change.
    #[must_use]
    pub fn by(node: &Node, command: impl Into<String>) -> Self {
        let (node, command) = (node.clone(), command.into());
        let what = format!("{}: {command}", node.name());
        Self::with(what, move || node.exec(&["sh", "-c", &command]).map(drop))
    }

    /// By whatever `act` does; `what` is for people. To be made before the change.
    #[must_use]
    pub fn with(what: impl Into<String>, act: impl FnOnce() -> Result<()> + Send + 'static) -> Self {
        Self { what: what.into(), act: Some(Box::new(act)) }
    }

    /// Undoes it now.
    ///
    /// # Errors
    /// When it cannot be undone; it is not tried again.
    pub fn now(mut self) -> Result<()> {
        let act = self.act.take();
        act.map_or(Ok(()), |act| act()).with_context(|| format!("putting back: {}", self.what))
    }
}

impl Drop for PutBack {
    #[expect(clippy::print_stderr, reason = "a destructor can only say it")]
    fn drop(&mut self) {
        if let Some(act) = self.act.take()
            && let Err(error) = act()
        {
            eprintln!("could not be put back: {error:#}; what would have: {}", self.what);
        }
    }
}
