//! What a scenario has changed on a machine is put back, whatever came of the scenario.

use warden_lab::Node;

/// Runs a command of the shell when it is dropped. The command must do nothing where there is nothing to put back.
pub struct PutBack {
    node: Node,
    command: String,
}

impl PutBack {
    /// To be made before the change.
    #[must_use]
    pub fn by(node: &Node, command: impl Into<String>) -> Self {
        Self { node: node.clone(), command: command.into() }
    }
}

impl Drop for PutBack {
    #[expect(clippy::print_stderr, reason = "a destructor can only say it")]
    fn drop(&mut self) {
        if let Err(error) = self.node.exec(&["sh", "-c", &self.command]) {
            eprintln!("{}: could not be put back: {error:#}; what would have: {}", self.node.name(), self.command);
        }
    }
}
