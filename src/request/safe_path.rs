//! (being written)

/// A path that was checked.
#[derive(Clone, Debug)]
pub struct SafePath<'r> {
    raw: &'r str,
    decoded: std::borrow::Cow<'r, str>,
}
impl<'r> SafePath<'r> {
    /// As received: what the backend gets.
    pub fn raw(&self) -> &'r str {
        self.raw
    }
    /// With unreserved characters decoded: what rules match.
    pub fn decoded(&self) -> &str {
        &self.decoded
    }
}
