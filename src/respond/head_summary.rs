use std::{net::IpAddr, sync::Arc};

use http::{
    HeaderValue, Method, Request, Uri, Version,
    header::{ACCEPT, CONTENT_TYPE},
    request::Parts,
};

#[cfg(feature = "session")]
use super::navigation::Navigation;
use super::outer_responder::OuterResponder;
use crate::observe::request_summary::{KeptRequest, RequestSummary};

/// The parts of a request head that responders need to render the rejection of a handler.
pub(crate) struct HeadSummary {
    method: Method,
    uri: Uri,
    version: Version,
    accept: Option<HeaderValue>,
    content_type: Option<HeaderValue>,
    /// Whether a layer outside has a responder.
    has_outer_responder: bool,
    client_address: Option<IpAddr>,
    #[cfg(feature = "axum")]
    route: Option<axum::extract::MatchedPath>,
    /// The page that a browser has requested, for a responder that redirects.
    #[cfg(feature = "session")]
    navigation: Option<Box<Navigation>>,
}

impl HeadSummary {
    pub(crate) fn of(head: &Parts, client_address: Option<IpAddr>) -> Self {
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            accept: head.headers.get(ACCEPT).cloned(),
            content_type: head.headers.get(CONTENT_TYPE).cloned(),
            has_outer_responder: OuterResponder::is_marked(head),
            client_address,
            #[cfg(feature = "axum")]
            route: head.extensions.get().cloned(),
            #[cfg(feature = "session")]
            navigation: None,
        }
    }

    /// Also keeps the page that a browser has requested.
    #[cfg(feature = "session")]
    #[cold]
    pub(crate) fn with_navigation(self, head: &Parts) -> Self {
        Self { navigation: Navigation::of(head).map(Box::new), ..self }
    }

    /// Returns what events contain of the request.
    pub(crate) fn request(&self) -> RequestSummary<'_> {
        #[cfg(feature = "axum")]
        let route = self.route.as_ref().map(axum::extract::MatchedPath::as_str);
        #[cfg(not(feature = "axum"))]
        let route = None;
        RequestSummary::kept(KeptRequest {
            method: &self.method,
            uri: &self.uri,
            route,
            client_address: self.client_address,
        })
    }

    /// Returns the head of a rejected request as the layer received it.
    ///
    /// Layers inside may have changed it, and the choice between HTTP and gRPC must not depend on
    /// that. The rest comes from `inner`, the head that was rejected, if it is known.
    pub(crate) fn restore(self, inner: Option<Arc<Parts>>) -> Parts {
        let mut head = inner.map_or_else(|| Request::new(()).into_parts().0, Arc::unwrap_or_clone);
        (head.method, head.uri, head.version) = (self.method, self.uri, self.version);
        for (name, value) in [(ACCEPT, self.accept), (CONTENT_TYPE, self.content_type)] {
            match value {
                Some(value) => head.headers.insert(name, value),
                None => head.headers.remove(name),
            };
        }
        match self.has_outer_responder {
            true => OuterResponder::mark(&mut head),
            false => _ = head.extensions.remove::<OuterResponder>(),
        }
        #[cfg(feature = "session")]
        if let Some(navigation) = self.navigation {
            head.extensions.insert(*navigation);
        }
        head
    }
}
