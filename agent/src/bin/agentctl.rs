//! `agentctl`: asks the agent on this node, or the coordinator on this balancer, how things are.

use std::process::ExitCode;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    warden_agent::ctl::run(std::env::args_os()).await
}
