use std::fmt;

use super::policy::Policy;
use crate::observe::escaped::Escaped;

/// Writes one line of a route list: the path and the policy.
///
/// Escapes unprintable characters, so that the text of a policy cannot add lines.
pub(crate) fn write_route(
    path: &str,
    policy: &dyn Policy,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    writeln!(f, "{path}  {}", Escaped(policy))
}

/// Writes the items, separated by commas.
pub(crate) fn write_list<I>(items: I, f: &mut fmt::Formatter<'_>) -> fmt::Result
where
    I: IntoIterator,
    I::Item: fmt::Display,
{
    for (position, item) in items.into_iter().enumerate() {
        let comma = if position == 0 { "" } else { ", " };
        write!(f, "{comma}{item}")?;
    }
    Ok(())
}

/// Implements `Layer`, `Display` and `Debug` for a policy of this crate.
macro_rules! policy_layer {
    ($policy:ty $(, $parameter:ident)*) => {
        impl<S $(, $parameter: Clone)*> tower_layer::Layer<S> for $policy {
            type Service = crate::authorize::service::Authorize<S, Self>;

            fn layer(&self, inner: S) -> Self::Service {
                crate::authorize::layer::AuthorizeLayer::new(self.clone()).layer(inner)
            }
        }

        impl<$($parameter: crate::authorize::policy::Policy),*> std::fmt::Display for $policy {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                crate::authorize::policy::Policy::describe(self, f)
            }
        }

        impl<$($parameter: crate::authorize::policy::Policy),*> std::fmt::Debug for $policy {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "Policy({self})")
            }
        }
    };
}
pub(crate) use policy_layer;
