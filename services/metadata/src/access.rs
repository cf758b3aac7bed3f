//! Who may do what in which project: asked for nearly every call of every service. Those who ask at the same time share a statement.

use granary_core::{
    Result,
    name::{ApiKeyName, ProjectName},
};
use granary_runtime::{
    batch::{Batcher, Limits},
    task::Tasks,
};

use crate::{
    Context,
    lane::Lane,
    member,
    role::Role,
    store::{
        access as store,
        member::{self as members, Identity},
    },
};

/// How many waiting invitations one list of projects accepts; the next list accepts the next ones.
const ACCEPTED: u32 = 100;
/// How many roles of one principal are told at most.
const TOLD: u32 = 100;

/// Somebody in a project.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub project: ProjectName,
    pub who: Identity,
    /// The address that the issuer has verified, or empty.
    pub email: String,
}

enum Answer {
    Role(Role),
    /// No role, and an invitation to accept.
    Invited,
    Stranger,
}

/// What can be asked.
#[derive(Clone)]
pub(crate) struct Access {
    context: Context,
    lane: Lane,
    /// The issuer of the tokens of API keys.
    own: String,
    questions: Batcher<Question, Answer>,
}

impl Access {
    pub(crate) fn start(context: &Context, tasks: &Tasks, lane: &Lane, own: &str) -> Self {
        let (asking, issuer) = (context.clone(), own.to_owned());
        Self {
            context: context.clone(),
            lane: lane.clone(),
            own: own.to_owned(),
            questions: Batcher::start(
                tasks,
                "metadata: check access",
                Limits::READS,
                move |questions| answer(asking.clone(), issuer.clone(), questions),
            ),
        }
    }

    /// The role of somebody in a project; none for strangers, and for projects that do not exist. Accepts an invitation that waits.
    pub(crate) async fn role(&self, question: Question) -> Result<Option<Role>> {
        match self.questions.call(question.clone()).await? {
            Answer::Role(role) => Ok(Some(role)),
            Answer::Stranger => Ok(None),
            Answer::Invited => {
                let Question {
                    project,
                    who,
                    email,
                } = question;
                let address = members::address(&email).unwrap_or_default();
                member::accept(&self.lane, project, who, address).await
            }
        }
    }

    /// The key whose token this is, if it is one of a key.
    pub(crate) fn key(&self, who: &Identity) -> Option<ApiKeyName> {
        key(&self.own, who)
    }

    /// The roles of somebody, by project; accepts the invitations that wait.
    pub(crate) async fn roles(
        &self,
        who: Identity,
        email: &str,
    ) -> Result<Vec<(ProjectName, Role)>> {
        if let Some(key) = self.key(&who) {
            let project = key.parent();
            let question = Question {
                project: project.clone(),
                who,
                email: String::new(),
            };
            let role = self.role(question).await?;
            return Ok(role.map(|role| (project, role)).into_iter().collect());
        }
        self.accept_all(&who, email).await?;
        members::roles(self.context.db.reader(), &who, TOLD).await
    }

    /// Accepts the invitations that wait for an address.
    pub(crate) async fn accept_all(&self, who: &Identity, email: &str) -> Result<()> {
        let Some(address) = members::address(email) else {
            return Ok(());
        };
        let reader = self.context.db.reader();
        for project in members::invitations(reader, &address, ACCEPTED).await? {
            member::accept(&self.lane, project, who.clone(), address.clone()).await?;
        }
        Ok(())
    }
}

// Only this server's own issuer makes tokens of keys: the same subject of another issuer is somebody else.
fn key(own: &str, who: &Identity) -> Option<ApiKeyName> {
    (who.issuer == own)
        .then(|| ApiKeyName::parse(&who.subject).ok())
        .flatten()
}

async fn answer(
    context: Context,
    own: String,
    questions: Vec<Question>,
) -> Result<Vec<Result<Answer>>> {
    let (mut keys, mut places) = (Vec::new(), Vec::new());
    for question in &questions {
        match key(&own, &question.who) {
            Some(key) => keys.push(key),
            None => places.push((question.project.clone(), question.who.clone())),
        }
    }
    let reader = context.db.reader();
    let keys = store::keys(reader, &keys, context.now()).await?;
    let places = store::members(reader, &places).await?;
    let role = |question: &Question| match key(&own, &question.who) {
        Some(key) if key.project == question.project.project => keys.get(&key).copied(),
        Some(_) => None,
        None => {
            let place = (question.project.clone(), question.who.clone());
            places.get(&place).copied()
        }
    };
    let roles: Vec<_> = questions.iter().map(role).collect();
    // Whoever has a role needs no invitation, and nearly everybody has.
    let mut invited = Vec::new();
    for (question, _) in questions
        .iter()
        .zip(&roles)
        .filter(|(_, role)| role.is_none())
    {
        invited.extend(invitation(&own, question));
    }
    let invited = store::invitations(reader, &invited).await?;
    let answers = questions.iter().zip(roles).map(|(question, role)| {
        let waits = || invitation(&own, question).is_some_and(|key| invited.contains(&key));
        Ok(match role {
            Some(role) => Answer::Role(role),
            None if waits() => Answer::Invited,
            None => Answer::Stranger,
        })
    });
    Ok(answers.collect())
}

fn invitation(own: &str, question: &Question) -> Option<store::Invited> {
    if key(own, &question.who).is_some() {
        return None;
    }
    Some((question.project.clone(), members::address(&question.email)?))
}
