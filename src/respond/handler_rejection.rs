use std::sync::Arc;

use http::{Response, header::WWW_AUTHENTICATE};

use crate::{
    principal::caller::Caller,
    rejection::rejection::{Rejection, Rendering},
};

/// Marks the response to a request that a handler rejected. The rejection depends on the caller.
#[derive(Clone)]
pub(crate) struct HandlerRejection(Arc<ForCaller>);

/// Returns the rejection of a handler for this caller.
type ForCaller = dyn Fn(&Caller) -> Rejection + Send + Sync;

impl HandlerRejection {
    /// Creates the response to a rejection that a handler returned.
    ///
    /// `rejection` is what is known without the caller. It remains if no layer around the handler
    /// knows the caller.
    pub(crate) fn response<B, F>(mut rejection: Rejection, for_caller: F) -> Response<B>
    where
        B: Default,
        F: Fn(&Caller) -> Rejection + Send + Sync + 'static,
    {
        let mut response = Response::new(B::default());
        *response.status_mut() = rejection.kind().status();
        rejection.write_headers(response.headers_mut());
        let extensions = response.extensions_mut();
        rejection.set_rendering(Rendering::Inherited(None));
        extensions.insert(rejection);
        extensions.insert(Self(Arc::new(for_caller)));
        response
    }

    /// Completes the rejection of a handler, and returns it.
    ///
    /// Returns `None` if a layer in between has removed the rejection, because it has responded
    /// itself.
    #[cold]
    pub(crate) fn complete<B>(
        self,
        response: &mut Response<B>,
        caller: &Caller,
    ) -> Option<Rejection> {
        let known = response.extensions_mut().remove::<Rejection>()?;
        let mut rejection = (self.0)(caller);
        rejection.set_rendering(Rendering::Inherited(None));
        *response.status_mut() = rejection.kind().status();
        // The complete rejection has more challenges. Those of other layers are kept.
        let headers = response.headers_mut();
        let of_others: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().cloned().collect();
        headers.remove(WWW_AUTHENTICATE);
        rejection.write_headers(headers);
        for line in of_others {
            if !known.challenges().any(|challenge| challenge.to_header_value() == line) {
                headers.append(WWW_AUTHENTICATE, line);
            }
        }
        response.extensions_mut().insert(rejection.clone());
        Some(rejection)
    }
}

/// For a handler that rejects a request. With the feature `axum`, a handler can also return
/// `Err(rejection)`.
///
/// The responder of the enclosing layer renders it, and the layer adds the challenges of the
/// caller's scheme if the kind requires them. Without a responder, the response is an HTTP status,
/// also for a gRPC request.
///
/// ```
/// use http::{Request, Response};
/// use tower_auth::{Rejection, RejectionKind};
///
/// async fn show(_: Request<String>) -> Response<String> {
///     match load_account().await {
///         Ok(account) => Response::new(account),
///         Err(error) => Rejection::new(RejectionKind::Unavailable).because(error).into(),
///     }
/// }
/// # async fn load_account() -> Result<String, String> { Ok(String::new()) }
/// ```
impl<B: Default> From<Rejection> for Response<B> {
    fn from(rejection: Rejection) -> Self {
        let known = rejection.clone();
        HandlerRejection::response(known, move |caller| caller.complete(rejection.clone()))
    }
}
