use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{HeaderMap, Request, Response, StatusCode, request::Parts};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::{
    handler_rejection::HandlerRejection,
    head_summary::HeadSummary,
    outer_responder::OuterResponder,
    render_again::{render_again, take_unrendered},
    responder::Respond,
};
use crate::{
    observe::{decided::Decided, observer::Observer},
    principal::{Principal, caller::Caller},
    rejection::{Rejection, RejectionKind},
};

pin_project! {
    /// The response of a layer that either responds itself or calls the inner service.
    #[project = Projected]
    pub(crate) enum ResponseFuture<F, R, C> {
        Inner { #[pin] future: F, completion: Completion<R> },
        Ready { response: Option<Response<C>> },
    }
}

/// Calls the service of a request that was admitted, or returns the response to one that was
/// rejected.
#[inline(always)] // a call would copy the head
pub(crate) fn call_or_respond<S, B, C, R>(
    service: &mut S,
    admission: Result<Completion<R>, Response<C>>,
    head: Parts,
    body: B,
) -> ResponseFuture<S::Future, R, C>
where
    S: Service<Request<B>, Response = Response<C>> + Clone,
{
    match admission {
        Ok(completion) => {
            let future = service.call(Request::from_parts(head, body));
            ResponseFuture::Inner { future, completion }
        }
        Err(response) => {
            // Release what the service reserved in `poll_ready`, such as a permit. It is not
            // called, so it would keep the permit until the next request.
            *service = service.clone();
            ResponseFuture::Ready { response: Some(response) }
        }
    }
}

impl<F, R, C, E> Future for ResponseFuture<F, R, C>
where
    F: Future<Output = Result<Response<C>, E>>,
    R: Respond<C>,
{
    type Output = F::Output;

    #[inline]
    #[allow(clippy::expect_used)] // futures may panic if polled after completion
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project() {
            Projected::Inner { future, completion } => {
                let poll = future.poll(cx);
                match &poll {
                    Poll::Ready(Ok(response)) if completion.has_work(response) => {
                        poll.map_ok(|response| completion.apply(response))
                    }
                    _ => poll,
                }
            }
            Projected::Ready { response } => {
                Poll::Ready(Ok(response.take().expect("polled after completion")))
            }
        }
    }
}

/// What a layer adds to the response of the inner service.
pub(crate) struct Completion<R> {
    /// Headers of the authenticator.
    headers: Option<Box<HeaderMap>>,
    /// Completes the rejections of handlers. `None` if an outer layer does that.
    caller: Option<Caller>,
    kept: Option<Box<Kept<R>>>,
}

/// What a layer keeps of a request if it has a responder of its own, or an observer or client
/// addresses for events.
struct Kept<R> {
    responder: Arc<R>,
    observer: Observer,
    head: HeadSummary,
    /// The caller, for events.
    principal: Option<Principal>,
}

impl<R> Completion<R> {
    /// Completes the response to a request with this head, which is then marked.
    #[inline]
    pub(crate) fn new<C>(
        caller: Option<Caller>,
        responder: &Arc<R>,
        observer: &Observer,
        head: &mut Parts,
    ) -> Self
    where
        R: Respond<C>,
    {
        let has_responder = !responder.is_inherited();
        let kept = (has_responder || observer.is_set())
            .then(|| Box::new(Kept::new(responder, observer, head)));
        if has_responder {
            OuterResponder::mark(head);
        }
        Self { headers: None, caller, kept }
    }

    /// Completes the response inside a policy: only if this layer has a responder of its own.
    #[inline]
    pub(crate) fn of_policy<C>(responder: &Arc<R>, head: &mut Parts) -> Self
    where
        R: Respond<C>,
    {
        if responder.is_inherited() {
            return Self { headers: None, caller: None, kept: None };
        }
        let caller = Caller::in_extensions(&head.extensions);
        let observer = Observer::of(head);
        Self::new(caller, responder, &observer, head)
    }

    /// Also adds these headers.
    #[inline]
    pub(crate) fn with_headers(self, headers: Option<Box<HeaderMap>>) -> Self {
        Self { headers, ..self }
    }

    /// Returns whether [`apply`](Self::apply) may change a response.
    ///
    /// Only rejections and few other responses have extensions.
    #[inline]
    fn has_work<C>(&self, response: &Response<C>) -> bool {
        self.headers.is_some() || !response.extensions().is_empty()
    }

    #[cold]
    fn apply<C>(&mut self, mut response: Response<C>) -> Response<C>
    where
        R: Respond<C>,
    {
        if let Some(caller) = &self.caller
            && let Some(returned) = response.extensions_mut().remove::<HandlerRejection>()
            && let Some(rejection) = returned.complete(&mut response, caller)
        {
            observe_returned(&rejection, Some(caller), self.kept.as_deref());
        }
        if let Some(kept) = self.kept.take() {
            kept.render(&mut response);
        }
        add_headers(response.headers_mut(), self.headers.take());
        response
    }
}

impl<R> Kept<R> {
    fn new<C>(responder: &Arc<R>, observer: &Observer, head: &Parts) -> Self
    where
        R: Respond<C>,
    {
        let summary = HeadSummary::of(head, observer.client_address(head));
        #[cfg(feature = "session")]
        let summary = match responder.redirects_navigations() {
            true => summary.with_navigation(head),
            false => summary,
        };
        let principal = head.extensions.get().cloned();
        let (responder, observer) = (Arc::clone(responder), observer.clone());
        Self { responder, observer, head: summary, principal }
    }

    /// Renders the rejection from inside, if there is one and this layer has a responder.
    fn render<C>(self, response: &mut Response<C>)
    where
        R: Respond<C>,
    {
        if self.responder.is_inherited() {
            return;
        }
        if let Some((mut rejection, head)) = take_unrendered(response.extensions_mut()) {
            // A layer outside must not complete what is rendered here.
            if response.extensions_mut().remove::<HandlerRejection>().is_some() {
                rejection = without_caller(rejection);
                observe_returned(&rejection, None, Some(&self));
            }
            render_again(response, &rejection, &*self.responder, &self.head.restore(head));
        }
    }
}

/// Completes the rejection of a handler although no layer knows the caller.
fn without_caller(rejection: Rejection) -> Rejection {
    // A 401 must have a challenge (RFC 9110 §15.5.2).
    if rejection.kind().status() != StatusCode::UNAUTHORIZED
        || rejection.challenges().next().is_some()
    {
        return rejection;
    }
    Rejection::new(RejectionKind::Misconfigured)
        .because("no AuthenticateLayer around a handler that rejects with 401: add one")
}

/// Reports a rejection that a handler returned, unless it was reported before.
fn observe_returned<R>(rejection: &Rejection, caller: Option<&Caller>, kept: Option<&Kept<R>>) {
    if rejection.is_observed() {
        return;
    }
    let request = kept.map(|kept| kept.head.request());
    let observer = kept.map_or(Observer::default(), |kept| kept.observer.clone());
    let decided = Decided {
        principal: kept.and_then(|kept| kept.principal.as_ref()),
        scheme: caller.and_then(Caller::scheme),
        ..Decided::default()
    };
    observer.observe(&decided.rejected(rejection, request, || true));
}

/// Adds headers to those of a response. Headers of the same name are kept, and equal ones are not
/// repeated.
#[inline]
pub(crate) fn add_headers(to: &mut HeaderMap, headers: Option<Box<HeaderMap>>) {
    if let Some(headers) = headers {
        for (name, value) in headers.iter() {
            let is_set = to.get_all(name).iter().any(|other| other == value);
            if !is_set {
                to.append(name, value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CACHE_CONTROL, SET_COOKIE};

    use super::*;

    #[test]
    fn added_headers_keep_others_and_are_not_repeated() {
        let headers = |lines: &[(http::HeaderName, &'static str)]| {
            let lines = lines.iter().cloned();
            let lines = lines.map(|(name, value)| (name, http::HeaderValue::from_static(value)));
            lines.fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
        };
        let mut response = headers(&[(CACHE_CONTROL, "no-store"), (SET_COOKIE, "a=1")]);
        let added = headers(&[(CACHE_CONTROL, "no-store"), (SET_COOKIE, "b=2")]);
        add_headers(&mut response, Some(Box::new(added)));
        let expected = [(CACHE_CONTROL, "no-store"), (SET_COOKIE, "a=1"), (SET_COOKIE, "b=2")];
        assert_eq!(response, headers(&expected));
    }
}
