//! Files, then the environment, then flags; then all of it is checked.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use super::error::ConfigError;
use super::file::File;
use super::resolve::Resolver;
use super::settings::Settings;
use super::shape::{self, Problems};
use super::tree::{self, Entry, Node, Origin, Table};
use super::{env, secret, source};

/// Where a configuration comes from. Later sources win over earlier ones.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// `--config`, in order. `conf.d/*.toml` beside the first comes after them all.
    pub files: Vec<PathBuf>,
    /// The variables, as from [`super::environment`]; those without `SIDEGATE_` are ignored.
    pub environment: Vec<(String, String)>,
    /// Flags.
    pub overrides: Overrides,
    /// `server.data` unless something sets it, as from [`super::default_data`].
    pub default_data: PathBuf,
}

/// Flags that set something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--upstream`: the one route of a server without `[[route]]`; several addresses are one
    /// upstream.
    pub upstream: Vec<String>,
    /// `--listen`, instead of `server.listen`.
    pub listen: Vec<String>,
    /// `--trust`, in addition to `server.trusted_proxies`.
    pub trust: Vec<String>,
    /// `--data`, instead of `server.data`; relative to the working directory.
    pub data: Option<PathBuf>,
}

/// A configuration that holds.
#[derive(Clone)]
pub struct Loaded {
    /// What is in force.
    pub settings: Settings,
    /// What is allowed and should be looked at, each with its place.
    pub warnings: Vec<String>,
    /// The configuration files that were read, in order. A watcher also looks at
    /// [`Loaded::conf_d`] and at the files that the settings name.
    pub files: Vec<PathBuf>,
    /// The directory in which further files would be read, whether it is there or not.
    pub conf_d: Option<PathBuf>,
    /// What was written, for [`super::print`].
    pub(super) tree: Table,
}

/// Without the values of variables, which may be secrets.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            files,
            environment,
            overrides,
            default_data,
        } = self;
        let names: Vec<&str> = environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Sources")
            .field("files", files)
            .field("environment", &names)
            .field("overrides", overrides)
            .field("default_data", default_data)
            .finish()
    }
}

/// Without what was written, which may hold secrets.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("settings", &self.settings)
            .field("warnings", &self.warnings)
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

/// Reads and checks everything.
///
/// # Errors
///
/// Every problem that was found, in the order files, environment, flags, then what was found
/// by comparing. Never empty.
pub fn load(sources: &Sources) -> Result<Loaded, Vec<ConfigError>> {
    let mut problems = Problems::default();
    let mut tree = Table::new();
    let files = source::read_all(&sources.files, &mut tree, &mut problems);
    env::overlay(&mut tree, &sources.environment, &mut problems);
    flags(&mut tree, &sources.overrides, &mut problems);
    shape::check(&mut tree, &mut problems);
    secret::fill_in(&mut tree, &mut problems);

    let file = match File::deserialize(Node::Table(tree.clone()).to_value()) {
        Ok(file) => file,
        Err(problem) => {
            // The schema let something through that serde does not take.
            problems.errors.push(ConfigError {
                message: problem.message().to_owned(),
                ..ConfigError::default()
            });
            return Err(problems.errors);
        }
    };
    let mut resolver = Resolver {
        origins: tree::origins(&tree),
        problems: &mut problems,
        default_data: sources.default_data.clone(),
    };
    let settings = resolver.settings(&file);
    if !problems.errors.is_empty() {
        return Err(problems.errors);
    }
    let conf_d = sources.files.first().map(|first| first.with_file_name("conf.d"));
    Ok(Loaded {
        settings,
        warnings: problems.warnings,
        files,
        conf_d,
        tree,
    })
}

/// Lays the flags over the tree.
fn flags(tree: &mut Table, overrides: &Overrides, problems: &mut Problems) {
    let Overrides {
        upstream,
        listen,
        trust,
        data,
    } = overrides;
    if !upstream.is_empty() {
        let origin = Origin::Flag("--upstream");
        if let Some(route) = tree.get("route") {
            let place = match &route.node {
                Node::List { items, .. } => items.first().map_or(&route.origin, |first| &first.origin),
                _ => &route.origin,
            };
            problems.errors.push(ConfigError {
                hint: Some("leave out the flag, or the routes".into()),
                ..origin.error("", None, format!("and [[route]] ({place}) are both there"))
            });
        } else {
            let node = match upstream.as_slice() {
                [one] => Node::Text(one.clone()),
                several => texts(several, &origin),
            };
            let route = Table::from([(
                "upstream".to_owned(),
                Entry {
                    node,
                    origin: origin.clone(),
                },
            )]);
            let items = vec![Entry {
                node: Node::Table(route),
                origin: origin.clone(),
            }];
            tree.insert(
                "route".to_owned(),
                Entry {
                    node: Node::List { items, appends: true },
                    origin,
                },
            );
        }
    }
    if !listen.is_empty() {
        let origin = Origin::Flag("--listen");
        tree::set(
            tree,
            &["server", "listen"],
            Entry {
                node: texts(listen, &origin),
                origin,
            },
        );
    }
    if !trust.is_empty() {
        let origin = Origin::Flag("--trust");
        let more = texts(trust, &origin);
        let listed = match tree.get_mut("server").map(|server| &mut server.node) {
            Some(Node::Table(server)) => server.get_mut("trusted_proxies").map(|list| &mut list.node),
            _ => None,
        };
        match (listed, more) {
            (Some(Node::List { items, .. }), Node::List { items: more, .. }) => items.extend(more),
            // Whatever else stands there is a wrong type, and will be told so.
            (Some(_), _) => {}
            (None, node) => tree::set(tree, &["server", "trusted_proxies"], Entry { node, origin }),
        }
    }
    if let Some(data) = data {
        let origin = Origin::Flag("--data");
        match data.to_str() {
            Some(text) => tree::set(
                tree,
                &["server", "data"],
                Entry {
                    node: Node::Text(text.to_owned()),
                    origin,
                },
            ),
            None => problems.errors.push(origin.error("", None, "is not UTF-8")),
        }
    }
}

fn texts(list: &[String], origin: &Origin) -> Node {
    let entry = |text: &String| Entry {
        node: Node::Text(text.clone()),
        origin: origin.clone(),
    };
    Node::List {
        items: list.iter().map(entry).collect(),
        appends: false,
    }
}
