//! **Purpose**: the sectors service: place a piece, seal, show, unseal, prove, verify.
//!
//! **Invariants**
//! - Bytes of pieces and sectors never pass through a node: a client is told where to put or fetch
//!   them, with a capability for just that.

use camino::Utf8PathBuf;
use hesper_executor::capability::capability;
use hesper_proofs::stage::PostSector;
use hesper_proofs::{SealProof, SectorIdentity, verify};
use hesper_protos::sector::sectors_server::Sectors;
use hesper_protos::sector::{
    JobReply, ListReply, ListRequest, LocateReply, LocateRequest, PlacePieceReply,
    PlacePieceRequest, SealReply, SealRequest, Sector, ShowRequest, UnsealRequest,
    VerifyPostRequest, VerifyReply, WindowRequest, WinningRequest,
};
use hesper_scheduler as scheduler;
use hesper_scheduler::{
    Admission, Command, ExecutorId, Kernels, Liveness, Piece, Prove, ProveKind, Reply, SealSector,
    SectorId, SectorRow, Stage, TaskId,
};
use tonic::{Request, Response, Status};

use super::auth::Access;
use super::caller::Caller;
use super::jobs::{job_id, show as show_job};
use super::{Node, Shared, convert};

/// A client is no executor: its capabilities name reader 0.
const CLIENT_READER: u64 = 0;

// What each method needs.
const PLACE_PIECE: Access = Access::change("sectors", "PlacePiece", "store pieces");
const SEAL: Access = Access::change("sectors", "Seal", "seal sectors");
const LIST: Access = Access::read("sectors", "List", "look at sectors");
const SHOW: Access = Access::read("sectors", "Show", "look at sectors");
const UNSEAL: Access = Access::change("sectors", "Unseal", "unseal sectors");
const LOCATE: Access = Access::read("sectors", "Locate", "fetch files");
const WINNING: Access = Access::proof("sectors", "Winning", "prove sectors");
const WINDOW: Access = Access::proof("sectors", "Window", "prove sectors");
const VERIFY_SEAL: Access = Access::read("sectors", "VerifySeal", "verify proofs");
const VERIFY_POST: Access = Access::read("sectors", "VerifyPost", "verify proofs");

pub struct Service {
    pub node: Shared,
    /// Where verifying keys are looked for.
    pub parameters: Utf8PathBuf,
}

#[tonic::async_trait]
impl Sectors for Service {
    async fn place_piece(
        &self,
        request: Request<PlacePieceRequest>,
    ) -> Result<Response<PlacePieceReply>, Status> {
        let caller = self.node.admit(&request, &PLACE_PIECE).await?;
        caller.require_user("store a piece")?;
        let request = request.into_inner();
        let hash = convert::digest("blake3", &request.blake3)?;
        let proof = convert::proof_type(&request.proof)?;
        if request.length > proof.piece_bytes_max() {
            return Err(super::rejected_status(&scheduler::Rejected::PieceTooLarge {
                length: request.length,
                proof: proof.name().to_owned(),
                max: proof.piece_bytes_max(),
            }));
        }
        self.node.barrier().await?;
        let (executor, name, address) = place(&self.node, &caller, request.length)?;
        let right = self.right(executor, 0, &hash.hex())?;
        Ok(Response::new(PlacePieceReply {
            executor_id: executor.0,
            executor: name,
            address,
            capability: right.into(),
        }))
    }

    async fn seal(&self, request: Request<SealRequest>) -> Result<Response<SealReply>, Status> {
        let caller = self.node.admit(&request, &SEAL).await?;
        caller.require_user("seal a sector")?;
        let request = request.into_inner();
        let id = request.id;
        let executor = ExecutorId(request.piece_executor);
        let is_foreign = self.node.read(|machine| {
            let row = machine.scheduler.executor(executor);
            row.is_some_and(|row| row.owner_only && !caller.may_touch(&row.owner))
        });
        if is_foreign {
            return Err(Status::permission_denied(format!(
                "executor {} belongs to another user; upload the piece to one that you may use",
                executor.0
            )));
        }
        let command = Command::SealSector(seal_command(request)?);
        match self.node.propose(&caller, id, command).await? {
            (_, Reply::Sealing { job, sector }) => {
                Ok(Response::new(SealReply { job: job.0, sector: sector.number }))
            }
            (_, other) => Err(super::unexpected(&other)),
        }
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListReply>, Status> {
        let caller = self.node.admit(&request, &LIST).await?;
        let request = request.into_inner();
        self.node.barrier().await?;
        let miner = (request.miner != 0).then_some(request.miner);
        let limit = if request.limit == 0 { 1_000 } else { request.limit.min(10_000) };
        let sectors = self.node.read(|machine| {
            machine
                .scheduler
                .sectors(miner)
                .filter(|(_, row)| caller.may_touch(&row.owner))
                .take(usize::try_from(limit).unwrap_or(usize::MAX))
                .map(|(id, row)| {
                    let mut shown = convert::shown_sector(&machine.scheduler, id, row);
                    shown.files.clear();
                    shown
                })
                .collect()
        });
        Ok(Response::new(ListReply { sectors }))
    }

    async fn show(&self, request: Request<ShowRequest>) -> Result<Response<Sector>, Status> {
        let caller = self.node.admit(&request, &SHOW).await?;
        let ShowRequest { miner, sector } = request.into_inner();
        let id = SectorId::new(miner, sector);
        self.node.barrier().await?;
        let row = sector_row(&self.node, &caller, id)?;
        let shown = self.node.read(|machine| convert::shown_sector(&machine.scheduler, id, &row));
        Ok(Response::new(shown))
    }

    async fn unseal(&self, request: Request<UnsealRequest>) -> Result<Response<JobReply>, Status> {
        let caller = self.node.admit(&request, &UNSEAL).await?;
        let UnsealRequest { id, miner, sector } = request.into_inner();
        self.job(&caller, id, Command::Unseal(SectorId::new(miner, sector))).await
    }

    async fn locate(
        &self,
        request: Request<LocateRequest>,
    ) -> Result<Response<LocateReply>, Status> {
        let caller = self.node.admit(&request, &LOCATE).await?;
        let LocateRequest { job, task, name } = request.into_inner();
        let job = job_id(job)?;
        self.node.barrier().await?;
        show_job(&self.node, &caller, job)?;
        let located = self
            .node
            .read(|machine| machine.scheduler.locate(TaskId::new(job, task), &name))
            .ok_or_else(|| {
                Status::not_found(format!("task {task} of job {job} has left no file `{name}`"))
            })?;
        let right = self.right(located.executor, located.token.0, &located.name)?;
        Ok(Response::new(LocateReply {
            address: located.address,
            token: located.token.0,
            path: located.name,
            length: located.length,
            blake3: located.blake3.map(|digest| digest.hex()).unwrap_or_default(),
            capability: right.into(),
        }))
    }

    async fn winning(
        &self,
        request: Request<WinningRequest>,
    ) -> Result<Response<JobReply>, Status> {
        let caller = self.node.admit(&request, &WINNING).await?;
        let WinningRequest { id, miner, sectors, randomness } = request.into_inner();
        self.prove(&caller, id, ProveKind::Winning, miner, sectors, &randomness).await
    }

    async fn window(&self, request: Request<WindowRequest>) -> Result<Response<JobReply>, Status> {
        let caller = self.node.admit(&request, &WINDOW).await?;
        let WindowRequest { id, miner, sectors, randomness } = request.into_inner();
        self.prove(&caller, id, ProveKind::Window, miner, sectors, &randomness).await
    }

    async fn verify_seal(
        &self,
        request: Request<ShowRequest>,
    ) -> Result<Response<VerifyReply>, Status> {
        let caller = self.node.admit(&request, &VERIFY_SEAL).await?;
        let ShowRequest { miner, sector } = request.into_inner();
        let id = SectorId::new(miner, sector);
        self.node.barrier().await?;
        let row = sector_row(&self.node, &caller, id)?;
        let proof_bytes = convert::hex_bytes("proof", value(&row, id, "proof")?)?;
        let claim = seal_claim(&row, id)?;
        let parameters = self.parameters.clone();
        blocking(move || verify::verify_seal(parameters.as_ref(), &claim, &proof_bytes)).await
    }

    async fn verify_post(
        &self,
        request: Request<VerifyPostRequest>,
    ) -> Result<Response<VerifyReply>, Status> {
        let caller = self.node.admit(&request, &VERIFY_POST).await?;
        let request = request.into_inner();
        let randomness = convert::bytes32("randomness", &request.randomness)?;
        let proof_bytes = convert::hex_bytes("proof", &request.proof)?;
        self.node.barrier().await?;
        let (proof, sectors) = post_sectors(&self.node, &caller, request.miner, &request.sectors)?;
        let (parameters, miner) = (self.parameters.clone(), request.miner);
        match (request.kind.as_str(), sectors.as_slice()) {
            ("winning", [sector]) => {
                let sector = sector.clone();
                blocking(move || {
                    let parameters = parameters.as_ref();
                    verify::verify_winning_post(
                        parameters,
                        proof,
                        miner,
                        randomness,
                        &sector,
                        &proof_bytes,
                    )
                })
                .await
            }
            ("winning", _) => Err(Status::invalid_argument(
                "a winning PoSt is over exactly one sector; name that one",
            )),
            ("window", _) => {
                blocking(move || {
                    let parameters = parameters.as_ref();
                    verify::verify_window_post(
                        parameters,
                        proof,
                        miner,
                        randomness,
                        &sectors,
                        &proof_bytes,
                    )
                })
                .await
            }
            (other, _) => Err(Status::invalid_argument(format!(
                "`kind` is `{other}`; it is winning or window"
            ))),
        }
    }
}

impl Service {
    /// The right of a client to read or put one file on one executor.
    fn right(&self, executor: ExecutorId, token: u64, path: &str) -> Result<Vec<u8>, Status> {
        let owner = self
            .node
            .read(|machine| machine.scheduler.executor(executor).map(|row| row.owner.clone()))
            .ok_or_else(|| Status::unavailable("the executor is not known any more; try again"))?;
        let key = self.node.transfer_key(&owner)?;
        Ok(capability(&key, token, path, CLIENT_READER).to_vec())
    }

    async fn prove(
        &self,
        caller: &Caller,
        id: Option<hesper_protos::job::RequestId>,
        kind: ProveKind,
        miner: u64,
        sectors: Vec<u64>,
        randomness: &str,
    ) -> Result<Response<JobReply>, Status> {
        let randomness = convert::hex32("randomness", randomness)?.ok_or_else(|| {
            Status::invalid_argument("`randomness` is missing: 32 bytes in hexadecimal")
        })?;
        let prove = Prove { kind, miner, sectors, randomness, priority: 0 };
        self.job(caller, id, Command::Prove(prove)).await
    }

    async fn job(
        &self,
        caller: &Caller,
        id: Option<hesper_protos::job::RequestId>,
        command: Command,
    ) -> Result<Response<JobReply>, Status> {
        match self.node.propose(caller, id, command).await? {
            (_, Reply::Submitted { job }) => Ok(Response::new(JobReply { job: job.0 })),
            (_, other) => Err(super::unexpected(&other)),
        }
    }
}

/// The executor with the most room that serves this owner.
fn place(
    node: &Node,
    caller: &Caller,
    length: u64,
) -> Result<(ExecutorId, String, String), Status> {
    node.read(|machine| {
        machine
            .scheduler
            .executors()
            .filter(|(_, row)| {
                matches!(row.liveness, Liveness::Connected { .. })
                    && row.admission == Admission::Open
                    && (!row.owner_only || caller.may_touch(&row.owner))
                    && !row.address.is_empty()
            })
            .map(|(id, row)| {
                let room = row.paths.iter().map(scheduler::StoragePath::room).max().unwrap_or(0);
                (room, id, row)
            })
            .filter(|(room, ..)| *room >= length)
            .max_by_key(|(room, id, _)| (*room, std::cmp::Reverse(*id)))
            .map(|(_, id, row)| (id, row.name.clone(), row.address.clone()))
    })
    .ok_or_else(|| {
        Status::unavailable(format!(
            "no connected executor has room for a piece of {length} B; `hesper executor list` \
             shows them and their paths"
        ))
    })
}

fn seal_command(request: SealRequest) -> Result<SealSector, Status> {
    let stop_after = match request.stop_after.as_str() {
        "" => None,
        name => Some(Stage::from_name(name).ok_or_else(|| {
            Status::invalid_argument(format!("`stop_after` is `{name}`, which is no stage"))
        })?),
    };
    let kernels = match request.kernels.as_str() {
        "" => None,
        name => Some(Kernels::from_name(name).ok_or_else(|| {
            Status::invalid_argument(format!(
                "`kernels` is `{name}`; it must be `own` or `library`"
            ))
        })?),
    };
    Ok(SealSector {
        miner: request.miner,
        number: (request.sector != 0).then_some(request.sector),
        proof: convert::proof_type(&request.proof)?,
        piece: Piece {
            blake3: convert::digest("piece_blake3", &request.piece_blake3)?,
            length: request.piece_length,
            executor: ExecutorId(request.piece_executor),
        },
        ticket: convert::hex32("ticket", &request.ticket)?,
        seed: convert::hex32("seed", &request.seed)?,
        stop_after,
        priority: request.priority,
        kernels,
    })
}

fn sector_row(node: &Node, caller: &Caller, id: SectorId) -> Result<SectorRow, Status> {
    let row = node.read(|machine| machine.scheduler.sector(id).cloned()).ok_or_else(|| {
        super::rejected_status(&scheduler::Rejected::UnknownSector { sector: id })
    })?;
    if !caller.may_touch(&row.owner) {
        return Err(Status::permission_denied(format!(
            "sector {id} belongs to `{}`; only its owner and administrators see it",
            row.owner
        )));
    }
    Ok(row)
}

fn value<'a>(row: &'a SectorRow, id: SectorId, name: &str) -> Result<&'a str, Status> {
    row.values.get(name).map(String::as_str).ok_or_else(|| {
        Status::failed_precondition(format!(
            "sector {id} has no {name} yet; seal it to the end first"
        ))
    })
}

fn proof_of(row: &SectorRow) -> Result<SealProof, Status> {
    row.proof
        .name()
        .parse()
        .map_err(|_| Status::internal(format!("the proof library has no sectors of {}", row.proof)))
}

fn seal_claim(row: &SectorRow, id: SectorId) -> Result<verify::SealClaim, Status> {
    let bytes = |name: &str| convert::bytes32(name, value(row, id, name)?);
    Ok(verify::SealClaim {
        proof: proof_of(row)?,
        sector: SectorIdentity { miner: id.miner, number: id.number },
        comm_d: bytes("comm_d")?,
        comm_r: bytes("comm_r")?,
        ticket: bytes("ticket")?,
        seed: bytes("seed")?,
    })
}

fn post_sectors(
    node: &Node,
    caller: &Caller,
    miner: u64,
    numbers: &[u64],
) -> Result<(SealProof, Vec<PostSector>), Status> {
    let mut proof = None;
    let mut sectors = Vec::with_capacity(numbers.len());
    for number in numbers {
        let id = SectorId::new(miner, *number);
        let row = sector_row(node, caller, id)?;
        proof = Some(proof_of(&row)?);
        let comm_r = value(&row, id, "comm_r")?.to_owned();
        sectors.push(PostSector { number: *number, comm_r });
    }
    let proof = proof.ok_or_else(|| Status::invalid_argument("`sectors` is empty"))?;
    Ok((proof, sectors))
}

/// Verifies on a thread that may compute for a while.
async fn blocking(
    verify: impl FnOnce() -> Result<bool, verify::VerifyError> + Send + 'static,
) -> Result<Response<VerifyReply>, Status> {
    let valid = tokio::task::spawn_blocking(verify)
        .await
        .map_err(|error| Status::internal(format!("the verification broke off: {error}")))?
        .map_err(|error| Status::failed_precondition(error.to_string()))?;
    let detail = if valid { "the proof verifies" } else { "the proof does not verify" };
    Ok(Response::new(VerifyReply { valid, detail: detail.to_owned() }))
}
