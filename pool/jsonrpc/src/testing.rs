//! **Purpose**: the path from the bytes of a request to those of its answer, without sockets, for
//! the fuzz targets; not part of the library's face.

use crate::{Credentials, Limits, Service, dispatch};

/// What goes back for `body`; `None` when nothing but notifications came.
pub async fn answer<S: Service>(service: &S, limits: &Limits, body: &[u8]) -> Option<Vec<u8>> {
    dispatch::serve(service, &Credentials::Bearer(None), limits, body).await.body
}
