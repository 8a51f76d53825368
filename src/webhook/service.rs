use std::{
    error::Error,
    fmt, mem,
    sync::{Arc, atomic::AtomicBool},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, Response, request::Parts};
use http_body::Body;
use http_body_util::Full;
use tower_service::Service;

use super::{
    outcome::WebhookOutcome,
    receiver::{Received, Receiver},
    run::{Report, Run},
};
use crate::{
    authenticate::cors::Preflight,
    header::{Scheme, sensitive::mark_sensitive},
    later::Later,
    observe::{decided::Decided, observer::Observer},
    principal::caller::Caller,
    rejection::{Rejection, RejectionKind},
    respond::{
        Respond,
        reject::reject,
        response_future::{Completion, call_or_respond},
    },
};

/// The middleware of [`WebhookLayer`](super::WebhookLayer).
pub struct Webhook<S, R> {
    inner: S,
    shared: Arc<Shared<R>>,
}

/// The configuration that a layer and its services share.
pub(crate) struct Shared<R> {
    pub(crate) receiver: Arc<Receiver>,
    pub(crate) responder: Arc<R>,
    pub(crate) observer: Observer,
}

impl<S, R> Webhook<S, R> {
    pub(crate) fn new(inner: S, shared: Arc<Shared<R>>) -> Self {
        Self { inner, shared }
    }

    /// Returns the inner service.
    #[must_use]
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns the inner service, to change it.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Returns the inner service, and drops the middleware.
    #[must_use]
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, R, B, C> Service<Request<B>> for Webhook<S, R>
where
    S: Service<Request<Full<Bytes>>, Response = Response<C>, Error: Send, Future: Send>
        + Clone
        + Send
        + 'static,
    R: Respond<C> + Send + Sync + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    C: Default + Send + 'static,
{
    type Response = Response<C>;
    type Error = S::Error;
    type Future = Later<Result<Response<C>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Only this instance was polled ready, so it serves the request.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let shared = Arc::clone(&self.shared);
        let (head, body) = request.into_parts();
        Later::pending(async move { shared.serve(inner, head, body).await })
    }
}

impl<R> Shared<R> {
    async fn serve<S, B, C>(
        &self,
        mut inner: S,
        mut head: Parts,
        body: B,
    ) -> Result<Response<C>, S::Error>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<C>> + Clone,
        R: Respond<C>,
        B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
        C: Default,
    {
        self.observer.add_to(&mut head);
        let observer = Observer::of(&head);
        let received = self.receiver.receive(&head, body).await;
        // With the signature and the body, anyone can send the webhook again.
        mark_sensitive(&mut head.headers, &self.receiver.format.definition().signature_header);
        let report = |head: &Parts| Report::new(&self.receiver.sender, &observer, head);
        let (body, attempt) = match received {
            Ok(Received::Handle(body, attempt)) => (body, attempt),
            Ok(Received::Duplicate) => {
                report(&head).observe(WebhookOutcome::Duplicate);
                return Ok(Response::new(C::default()));
            }
            Ok(Received::InProgress) => {
                report(&head).observe(WebhookOutcome::InProgress);
                let rejection = Rejection::new(RejectionKind::Conflict)
                    .because("an attempt to handle this event is running");
                return Ok(self.reject(rejection, &observer, &head));
            }
            Err(rejection) => return Ok(self.reject(rejection, &observer, &head)),
        };
        let run = Run::new(attempt, report(&head));
        let principal = self.receiver.principal.clone();
        observer.observe_admitted(&head, || Decided {
            principal: Some(&principal),
            ..Decided::default()
        });
        let caller = Some(Caller::of(&principal));
        // The mark of an outer layer would bypass the policies.
        head.extensions.remove::<Preflight>();
        head.extensions.insert(principal);
        let completion = Completion::new(caller, &self.responder, &observer, &mut head);
        let response = call_or_respond(&mut inner, Ok(completion), head, Full::new(body)).await;
        run.end(response.as_ref().is_ok_and(is_success)).await;
        response
    }

    fn reject<C>(&self, rejection: Rejection, observer: &Observer, head: &Parts) -> Response<C>
    where
        R: Respond<C>,
    {
        // The only wiring fault is a runtime that is missing for every request.
        let reported_fault = AtomicBool::new(false);
        let is_signed = rejection.kind() != RejectionKind::MissingCredentials;
        let scheme = is_signed.then_some(Scheme::WEBHOOK);
        let decided = Decided { scheme, ..Decided::default() };
        observer.observe_rejected(&rejection, head, decided, &reported_fault);
        reject(rejection, &*self.responder, head)
    }
}

/// Returns whether the handler has finished. A gRPC failure can have the HTTP status 200.
fn is_success<C>(response: &Response<C>) -> bool {
    response.status().is_success()
        && response.extensions().get::<Rejection>().is_none()
        && is_grpc_success(response.headers())
}

fn is_grpc_success(headers: &HeaderMap) -> bool {
    const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
    headers.get(GRPC_STATUS).is_none_or(|status| status == "0")
}

impl<S: Clone, R> Clone for Webhook<S, R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for Webhook<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("inner", &self.inner).finish_non_exhaustive()
    }
}
