//! **Purpose**: keeps everyone but pool nodes out of the services between nodes.

use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};

use crate::identity::{Role, peer};

type Check = fn(Request<()>) -> Result<Request<()>, Status>;

/// Lets only peers pass whose certificate says `node`.
pub fn nodes_only<S>(service: S) -> InterceptedService<S, Check> {
    InterceptedService::new(service, check as Check)
}

fn check(request: Request<()>) -> Result<Request<()>, Status> {
    peer(&request)?.require(&[Role::Node], "speak as one node to another")?;
    Ok(request)
}
