//! **Purpose**: requests and answers over one WebSocket.
//!
//! **Invariants**
//! - At most `in_flight_max` requests are served at once; while so many are, nothing more is read.
//! - Answers go out as they are ready, each under its id; a peer that takes none is dropped.
//! - A socket on which nothing came for two pings is closed.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::dispatch::{Answer, serve};
use crate::{Credentials, Limits, Service};

/// Serves one socket until it ends or the server stops.
pub(crate) async fn run<S: Service>(
    mut socket: WebSocket,
    service: Arc<S>,
    credentials: Credentials,
    limits: &Limits,
    mut stopped: watch::Receiver<bool>,
) {
    let mut calls: JoinSet<Answer> = JoinSet::new();
    let mut pings = interval(limits.ping_every);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    let reason = loop {
        let outgoing = tokio::select! {
            received = socket.recv(), if calls.len() < limits.in_flight_max => {
                heard = Instant::now();
                match received {
                    None => break "closed by the peer",
                    Some(Err(error)) => {
                        tracing::debug!(%error, "websocket failed");
                        break "failed";
                    }
                    Some(Ok(Message::Close(_))) => break "closed by the peer",
                    // Pings are answered by the library.
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                    Some(Ok(message @ (Message::Text(_) | Message::Binary(_)))) => {
                        let (service, limits) = (service.clone(), limits.clone());
                        let credentials = credentials.clone();
                        calls.spawn(async move {
                            let body = message.into_data();
                            serve(service.as_ref(), &credentials, &limits, &body).await
                        });
                        None
                    }
                }
            }
            Some(done) = calls.join_next() => match done {
                Ok(answer) => text(answer),
                Err(error) => {
                    tracing::error!(%error, "a request's task failed");
                    break "a request's task failed";
                }
            },
            _ = pings.tick() => {
                let is_reading = calls.len() < limits.in_flight_max;
                if is_reading && heard.elapsed() > limits.ping_every * 2 {
                    break "silent";
                }
                Some(Message::Ping(Vec::new().into()))
            }
            // An error means that the server is gone, which is the other way to stop.
            _ = stopped.wait_for(|stop| *stop) => break "the server stops",
        };
        let Some(outgoing) = outgoing else { continue };
        match timeout(limits.body_timeout, socket.send(outgoing)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => break "closed while an answer was sent",
            Err(_) => break "the peer takes no answers",
        }
    };
    tracing::debug!(reason, in_flight = calls.len(), "websocket ended");
    let farewell = CloseFrame { code: close_code::AWAY, reason: reason.into() };
    // The peer may be gone already, which is what this ends anyway.
    let _gone = timeout(limits.body_timeout, socket.send(Message::Close(Some(farewell)))).await;
}

fn text(answer: Answer) -> Option<Message> {
    let body = answer.body?;
    // Written by serde_json, so it is UTF-8; anything else would be no text message.
    let text = String::from_utf8(body).ok()?;
    Some(Message::Text(text.into()))
}
