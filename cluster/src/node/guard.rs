//! **Purpose**: keeps everyone but pool nodes out of the service between nodes.

use hesper_consensus::RaftService;
use hesper_protos::raft::raft_server::RaftServer;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};

use crate::identity::{Role, peer};

type Check = fn(Request<()>) -> Result<Request<()>, Status>;

/// Lets only peers pass whose certificate says `node`.
pub fn nodes_only(
    service: RaftServer<RaftService>,
) -> InterceptedService<RaftServer<RaftService>, Check> {
    InterceptedService::new(service, check as Check)
}

fn check(request: Request<()>) -> Result<Request<()>, Status> {
    peer(&request)?.require(&[Role::Node], "replicate the log")?;
    Ok(request)
}
