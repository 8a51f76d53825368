//! The cost of an audit log for a request.
//!
//! `cargo bench -p tower-auth-benches --bench audit` prints the time and the allocations of an
//! admitted request: with an observer that does nothing, with an audit log, and with one that
//! writes keyed hashes. It fails if an audit log allocates.

use std::{convert::Infallible, future::Ready, io, time::Instant};

use allocation_counter::measure;
use futures_util::FutureExt;
use http::{Request, Response, header::AUTHORIZATION};
use tower::{Layer, Service, service_fn};
use tower_auth::{
    AuthenticateLayer, BasicAuth,
    basic::Users,
    observe::{AuditLog, Event, Observe},
    transport::Forwarded,
};

const ROUNDS: usize = 20;
const REQUESTS: u32 = 2_000;
const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

fn inner(_: Request<()>) -> Ready<Result<Response<()>, Infallible>> {
    std::future::ready(Ok(Response::new(())))
}

fn request() -> Request<()> {
    let mut request = Request::get("/orders/7?page=2").body(()).unwrap();
    request.headers_mut().insert(AUTHORIZATION, "Basic YWxpY2U6c2VjcmV0".parse().unwrap());
    request
}

fn send<S>(service: &mut S, request: Request<()>)
where
    S: Service<Request<()>, Response = Response<()>, Error = Infallible>,
{
    let response = service.call(request).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), 200);
}

/// Returns the shortest time of a request, in nanoseconds, and the allocations of one.
fn cost(observer: impl Observe + 'static, flush: impl Fn()) -> (u128, u64) {
    let users = Users::new([("alice", "secret")]).unwrap();
    let address = Forwarded::direct().peer(|_| Some([192, 0, 2, 7].into()));
    let layer = AuthenticateLayer::new(BasicAuth::new("staff", users).unwrap());
    let layer = layer.observer(observer).forwarded(address);
    let mut service = layer.layer(service_fn(inner));
    let mut shortest = u128::MAX;
    for _ in 0..ROUNDS {
        let requests: Vec<_> = (0..REQUESTS).map(|_| request()).collect();
        let start = Instant::now();
        for request in requests {
            send(&mut service, request);
        }
        shortest = shortest.min(start.elapsed().as_nanos() / u128::from(REQUESTS));
        flush();
    }
    let request = request();
    let counted = measure(|| send(&mut service, request));
    (shortest, counted.count_total)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let log = |hashed: bool| {
        let builder = AuditLog::writer(io::sink());
        let builder = if hashed { builder.hash_identities(SECRET) } else { builder };
        builder.build().unwrap()
    };
    let (base, base_allocations) = cost(|_: &Event<'_>| {}, || {});
    println!("observer that does nothing: {base} ns, {base_allocations} allocations");
    for (name, hashed) in [("audit log", false), ("audit log with hashes", true)] {
        let audit = log(hashed);
        let flush = || runtime.block_on(audit.flush()).unwrap();
        let (time, allocations) = cost(audit.clone(), flush);
        println!("{name}: {time} ns (+{}), {allocations} allocations", time.saturating_sub(base));
        assert_eq!(allocations, base_allocations, "{name}");
        assert_eq!(audit.dropped().total(), 0, "{name}");
    }
}
