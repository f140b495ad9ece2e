"""What the templates of `iam_policy` allow, as IAM policy documents; pure.

The templates and their actions are those of spawn's IAM policies reference (docs/reference/iam-policies.md of
scttfrdmn/mycelium). Each holds for all resources of its service: the names `FullAccess`, `ReadOnly` promise no less.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

TEMPLATES: dict[str, tuple[str, ...]] = {
    "s3:FullAccess": ("s3:*",),
    "s3:ReadOnly": ("s3:GetObject", "s3:ListBucket"),
    "s3:WriteOnly": ("s3:PutObject", "s3:PutObjectAcl"),
    "s3:ReadWrite": ("s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:PutObjectAcl"),
    "dynamodb:FullAccess": ("dynamodb:*",),
    "dynamodb:ReadOnly": ("dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"),
    "dynamodb:WriteOnly": (
        "dynamodb:BatchWriteItem", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem",
    ),
    "sqs:FullAccess": ("sqs:*",),
    "sqs:ReadOnly": ("sqs:GetQueueAttributes", "sqs:ReceiveMessage"),
    "sqs:WriteOnly": ("sqs:SendMessage", "sqs:SendMessageBatch"),
    "logs:WriteOnly": ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents"),
    "ecr:ReadOnly": (
        "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetAuthorizationToken",
        "ecr:GetDownloadUrlForLayer",
    ),
    "secretsmanager:ReadOnly": ("secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"),
    "ssm:ReadOnly": ("ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"),
}  # fmt: skip

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    },
    sort_keys=True,
)
"""Who may take the role on: EC2, for its instances."""


def document_of(templates: Sequence[str], account: str, partition: str = "aws", bucket: str = "") -> str:
    """The policy of a role with `templates`, as JSON; equal for equal sets of templates.

    It also allows what the bootstrap itself needs: to put the sweeps' own files into the results buckets of the
    account, or into `bucket` if the user chose one. Raises KeyError for an unknown template.
    """
    statements: list[dict[str, object]] = [
        {
            "Sid": name.replace(":", "").capitalize(),
            "Effect": "Allow",
            "Action": list(TEMPLATES[name]),
            "Resource": "*",
        }
        for name in sorted(set(templates))
    ]
    results = bucket or f"spawn-results-{account}-*"
    statements.append(
        {
            "Sid": "Results",
            "Effect": "Allow",
            "Action": ["s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"],
            "Resource": f"arn:{partition}:s3:::{results}/sweeps/*",
        }
    )
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


def name_of(document: str) -> str:
    """What the role and profile for `document` are called: other rights, other name, so that none ever changes."""
    digest = hashlib.sha256(f"{TRUST}\n{document}".encode()).hexdigest()
    return f"spawn-tui-{digest[:12]}"
